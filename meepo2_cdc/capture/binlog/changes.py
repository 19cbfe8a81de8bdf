"""
The log's events as changes of rows, and the position that goes with them.

Follows transactions: where one begins, what it changed, whether and where it was committed.  Knows nothing of Kafka.
What it cannot read stops it, or is counted and named where the policy says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, cast
from uuid import UUID

import structlog

from meepo2_cdc.capture.binlog import compressed, row_events
from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.stream import ARTIFICIAL, Event, EventStream
from meepo2_cdc.capture.binlog.tables import Catalog
from meepo2_cdc.capture.binlog.transactions import (
    BEGAN,
    ENDED,
    IDLE,
    Change,
    Position,
    Rows,
    Since,
    Transaction,
    Truncate,
    Undecided,
)
from meepo2_cdc.capture.binlog.unreadable import Unreadable
from meepo2_cdc.capture.filter import TableFilter
from meepo2_cdc.errors import PositionLost, UnreadableData
from meepo2_cdc.records.position import GtidSet, LogPosition, MariadbGtidSet, MysqlGtidSet

log = structlog.get_logger()

_UNREADABLE = {
    ev.EXECUTE_LOAD_QUERY: "a LOAD DATA statement in statement format",
    ev.INCIDENT: "an incident: the server says that its log has lost changes here",
}


class _Prepared(NamedTuple):
    """An XA transaction that waits for its decision: its rows, and where to read them again."""

    rows: list[Rows]
    begins: Undecided


class ChangeReader:
    """
    Reads changes from streams, one after the other when the connection is made anew.

    `position` is what is done, and `reading` where a new stream must begin; both are true whenever a change has been
    taken and the next was not yet asked for.
    """

    def __init__(
        self,
        position: Position,
        tables: TableFilter,
        catalog: Catalog,
        *,
        since: Since,
        learn_gtids: bool,
        skip_unreadable: bool,
    ) -> None:
        self._file, self._offset = position.file, position.offset
        # a set of its own: `since` may hold the same one, as the place of an undecided XA transaction
        self._gtids = None if position.gtids is None else position.gtids.copy()
        self._skip_gtid, self._skip_rows = position.gtid, position.rows_done
        self._learns_gtids = learn_gtids and position.gtids is None
        self._tables = tables
        self._catalog = catalog
        self._since: Since | None = since
        self._transaction: Transaction | None = None
        self._prepared: dict[str, _Prepared] = {}
        self._uuids: dict[bytes, str] = {}
        self._unreadable = Unreadable(self._place, skip=skip_unreadable)
        self._row_events = row_events.RowEvents(tables, catalog, self._unreadable)
        self.committed_us: int | None = None
        self._handlers: dict[int, Callable[[Event], Iterable[Change]]] = {
            ev.GTID: self._on_gtid,
            ev.ANONYMOUS_GTID: self._on_gtid,
            ev.TAGGED_GTID: self._on_tagged_gtid,
            ev.MARIADB_GTID: self._on_mariadb_gtid,
            ev.QUERY: self._on_query,
            ev.MARIADB_QUERY_COMPRESSED: lambda event: self._on_query(compressed.plain_query(event)),
            ev.TABLE_MAP: self._on_table_map,
            **dict.fromkeys(row_events.KINDS, self._on_rows),
            **dict.fromkeys(ev.MARIADB_COMPRESSED_ROWS, lambda event: self._on_rows(compressed.plain_rows(event))),
            ev.TRANSACTION_PAYLOAD: self._on_payload,
            ev.XID: self._on_end,
            ev.XA_PREPARE: self._on_xa_prepare,
            ev.ROTATE: self._on_rotate,
            ev.HEARTBEAT: self._on_heartbeat,
            ev.PREVIOUS_GTIDS: self._on_previous_gtids,
            ev.MARIADB_GTID_LIST: self._on_mariadb_gtid_list,
            ev.FORMAT_DESCRIPTION: self._on_passed_over,
            **dict.fromkeys(ev.PASSED_OVER, self._on_passed_over),
            **dict.fromkeys(_UNREADABLE, self._on_unreadable),
        }

    @property
    def position(self) -> Position:
        """What is done: published, or never wanted."""
        if self._since is not None and self._since.published is not None:
            return self._since.published  # what is read again is not yet past it
        return replace(self.reading, undecided=self._undecided())

    @property
    def reading(self) -> Position:
        """Where a new stream must begin: before the transaction in progress."""
        transaction = self._transaction
        gtids = None if self._gtids is None else self._gtids.copy()
        if transaction is None:
            return Position(self._file, self._offset, gtids, self._skip_gtid, self._skip_rows)
        if not transaction.wanted:  # the rows that are published are those of a transaction that is yet to come
            return Position(transaction.file, transaction.position, gtids, self._skip_gtid, self._skip_rows)
        rows_done = max(transaction.rows, self._skip_rows)
        gtid = transaction.gtid if rows_done else None
        return Position(transaction.file, transaction.position, gtids, gtid, rows_done)

    def has_reached(self, end: LogPosition) -> bool:
        """Whether all before `end` is done.  Cheap: asked once a transaction."""
        if self._transaction is not None or self._skip_rows or not self._file:
            return False
        if self._file == end.file:
            return self._offset >= end.offset
        return LogPosition(self._file, self._offset).order >= end.order

    def _undecided(self) -> Undecided | None:
        # prepared transactions are kept in the order in which they came
        return next((prepared.begins for prepared in self._prepared.values()), None)

    def changes(self, stream: EventStream) -> Iterator[Change]:
        """Changes from the stream, which must begin at `reading`; ENDED after each transaction."""
        self._restart()
        for event in stream.events():
            if event is None:
                yield IDLE
            else:
                yield from self._handled(event)

    def _handled(self, event: Event) -> Iterable[Change]:
        return self._handlers.get(event.kind, self._on_unknown)(event)

    def _restart(self) -> None:
        """A new stream sends the transaction in progress again, from its beginning."""
        reading = self.reading
        self._file, self._offset = reading.file, reading.offset
        self._skip_gtid, self._skip_rows = reading.gtid, reading.rows_done
        self._transaction = None
        self._row_events.forget_tables()

    # -- transactions

    def _on_gtid(self, event: Event) -> Iterable[Change]:
        found = ev.read_gtid(event.buf, event.start, event.end)
        gtid = f"{self._uuid(found.server)}:{found.number}" if event.kind == ev.GTID else None
        return self._begin(event, gtid, found.committed_us, found.here_us)

    def _on_tagged_gtid(self, event: Event) -> Iterable[Change]:
        found, tag = ev.read_tagged_gtid(event.buf, event.start)
        name = self._uuid(found.server) + (f":{tag}" if tag else "")
        return self._begin(event, f"{name}:{found.number}", found.committed_us, found.here_us)

    def _uuid(self, raw: bytes) -> str:
        text = self._uuids.get(raw)
        if text is None:
            text = self._uuids[raw] = str(UUID(bytes=raw))
        return text

    def _on_mariadb_gtid(self, event: Event) -> Iterable[Change]:
        found = ev.read_mariadb_gtid(event.buf, event.start)
        gtid = f"{found.domain}-{event.server_id}-{found.number}"
        return self._begin(event, gtid, is_open=not found.standalone, xa=found.xa)

    def _begin(
        self,
        event: Event,
        gtid: str | None,
        committed_us: int | None = None,
        here_us: int | None = None,
        *,
        is_open: bool = False,
        xa: str | None = None,
    ) -> Iterable[Change]:
        start = self._unwrapped(event.end_position) - event.size
        event_us = event.timestamp * 1_000_000
        transaction = Transaction(
            gtid, committed_us or event_us, here_us or event_us, self._file, start, is_open, xa=xa
        )
        waited = self._since is not None
        if self._since is not None and self._since.admits(transaction):
            self._refuse_another_history(self._since.published)
            self._since = None
        transaction.wanted = self._since is None
        if transaction.wanted and self._skip_gtid is not None and gtid != self._skip_gtid:
            raise PositionLost(
                f"{self._skip_rows} rows of transaction {self._skip_gtid} are published,"
                f" but the source goes on with {gtid}",
                fix="Point source.dsn at the server that was read before, or at a replica that keeps its commit order.",
            )
        self._transaction = transaction
        return (BEGAN,) if waited and transaction.wanted else ()

    def _refuse_another_history(self, published: Position | None) -> None:
        """What is read again must be all that is published: the dump began before, so the server did not compare."""
        if published is not None and self._gtids is not None and self._gtids != published.gtids:
            raise PositionLost(
                f"published are {published.gtids}, but the source goes on behind {self._gtids}",
                fix="Point source.dsn at the server that was read before, or at a replica that keeps its commit order.",
            )

    def _transaction_of(self, event: Event) -> Transaction:
        """The transaction in progress; one that begins here on servers without any GTID events."""
        if self._transaction is None:
            self._begin(event, None)
        return cast(Transaction, self._transaction)

    def _on_end(self, event: Event) -> Iterable[Change]:
        transaction = self._transaction
        if transaction is not None:
            if transaction.gtid is not None and self._gtids is not None:
                self._gtids.add(transaction.gtid)
            self.committed_us = transaction.committed_us
            self._transaction = None
            if transaction.wanted:
                self._skip_gtid, self._skip_rows = None, 0
        self._offset = self._unwrapped(event.end_position)
        return (ENDED,)

    def _on_payload(self, event: Event) -> Iterator[Change]:
        events = compressed.payload_events(event)
        while True:
            try:
                inner = next(events, None)
            except UnreadableData as error:
                self._unreadable.note(event, error)
                yield from self._on_end(event)
                return
            if inner is None:
                return
            yield from self._handled(inner)

    # -- statements

    def _on_query(self, event: Event) -> Iterable[Change]:
        buf, end = event.buf, event.end
        if buf[end - 6 : end] == b"\0BEGIN":
            self._transaction_of(event).open = True
            return ()
        schema, statement = ev.read_query(buf, event.start, end, self._text)
        return self._on_statement(event, schema, ev.bare(statement))

    def _text(self, collation: int, raw: bytes) -> str:
        """A statement in another character set; what of it is no text there matters only where it is a name."""
        charset = self._catalog.charset_of(collation)
        try:
            return raw.decode("utf-8", "replace") if charset is None else self._catalog.text_decoder(charset)(raw)
        except UnreadableData:
            return raw.decode("utf-8", "replace")

    def _on_statement(self, event: Event, schema: str, statement: str) -> Iterable[Change]:
        words = ev.first_words(statement)
        transaction = self._transaction_of(event)
        if words[:1] == ("XA",):
            return self._on_xa(event, transaction, words[1:], statement)
        if words == ("COMMIT",):
            return self._on_end(event)
        if words == ("ROLLBACK",):
            return self._on_rollback(event, transaction)
        if words[:1] in (("SAVEPOINT",), ("ROLLBACK",), ("RELEASE",)):
            return ()
        if transaction.wanted and ev.changes_rows(statement):
            self._refuse(event, f"a statement as text, {words[0]} ... (binlog_format was not ROW in that session)")
        partitioned = ev.table_of_partition_change(schema, statement)
        truncated = ev.truncated_table(schema, statement) or partitioned
        if truncated is None:
            self._row_events.definitions_changed(event, schema, statement, transaction.here_us)
        elif transaction.wanted and self._tables.passes(*truncated):
            if partitioned is not None:
                log.warning(
                    "Partitions of a table changed: a truncate tells of rows that it lost, nothing of rows that it got",
                    table=".".join(partitioned), at=self._place(),
                )  # fmt: skip
            return self._on_truncate(event, *truncated, transaction)
        log.debug("A definition changed", statement=" ".join(words), schema=schema, at=self._place())
        return () if transaction.open else self._on_end(event)

    def _on_truncate(self, event: Event, schema: str, table: str, transaction: Transaction) -> Iterator[Change]:
        transaction.rows += 1
        if transaction.rows > self._skip_rows:
            yield Truncate(schema, table, transaction)
        if not transaction.open:
            yield from self._on_end(event)

    def _on_rollback(self, event: Event, transaction: Transaction) -> Iterable[Change]:
        if transaction.rows:
            self._refuse(event, "a transaction that was rolled back although its rows are in the log")
        return self._on_end(event)

    # -- XA: the rows are in the log at the prepare, the decision comes later or never

    def _on_xa(self, event: Event, transaction: Transaction, verb: tuple[str, ...], statement: str) -> Iterable[Change]:
        xid = ev.xid_of(statement)
        if verb in (("START",), ("BEGIN",)):
            transaction.open, transaction.xa = True, xid
        elif verb == ("COMMIT",):
            return self._on_xa_commit(event, transaction, xid)
        elif verb == ("ROLLBACK",):
            self._prepared.pop(xid, None)
        return () if transaction.open else self._on_end(event)

    def _on_xa_prepare(self, event: Event) -> Iterable[Change]:
        transaction = self._transaction
        if transaction is None or transaction.xa is None:
            return self._on_end(event)
        if ev.is_one_phase(event.buf, event.start):  # XA COMMIT ... ONE PHASE: no decision is left
            return self._give_held(event, transaction, transaction.held)
        reading = self.reading
        begins = Undecided(reading.file, reading.offset, reading.gtids)
        self._prepared[transaction.xa] = _Prepared(transaction.held, begins)
        return self._on_end(event)

    def _on_xa_commit(self, event: Event, transaction: Transaction, xid: str) -> Iterator[Change]:
        prepared = self._prepared.get(xid)
        if prepared is None and transaction.wanted:
            self._refuse(
                event,
                f"the commit of the XA transaction {xid}, whose prepare was before the capture's start",
            )
        yield from self._give_held(event, transaction, prepared.rows if prepared else [], xid)

    def _give_held(
        self, event: Event, transaction: Transaction, held: list[Rows], xid: str | None = None
    ) -> Iterator[Change]:
        """Rows that were held belong to the transaction that decides, whose time and position they get."""
        for rows in held if transaction.wanted else ():
            yield from self._give(rows._replace(transaction=transaction, first_row=transaction.rows))
        if xid is not None:
            self._prepared.pop(xid, None)  # only now: a checkpoint between the rows must still point back to them
        yield from self._on_end(event)

    # -- rows

    def _on_table_map(self, event: Event) -> Iterable[Change]:
        self._row_events.on_table_map(event, self._transaction)
        return ()

    def _on_rows(self, event: Event) -> Iterable[Change]:
        transaction = self._transaction
        resuming = transaction is not None and transaction.rows < self._skip_rows
        rows = self._row_events.on_rows(event, transaction, resuming=resuming)
        if rows is None:
            return ()
        if rows.transaction.xa is not None:
            rows.transaction.held.append(rows)
            return ()
        return self._give(rows)

    def _give(self, rows: Rows) -> Iterable[Change]:
        """Counts the rows, and leaves out those that are published."""
        first, count = rows.first_row, rows.row_count
        rows.transaction.rows += count
        if first < self._skip_rows:
            rows = rows.without_first(min(self._skip_rows - first, count))
        return (rows,) if rows.keys else ()

    # -- the log itself

    def _on_rotate(self, event: Event) -> Iterable[Change]:
        file, offset = ev.read_rotate(event.buf[event.start : event.end])
        if file != self._file:
            self._file, self._offset = file, offset
        self._row_events.forget_tables()
        return ()

    def _on_heartbeat(self, event: Event) -> Iterable[Change]:
        """Sent in the place of events: all before it was sent, or was in the set that we already had."""
        if self._transaction is None and event.end_position:
            file = event.buf[event.start : event.end].decode()
            offset = self._unwrapped(event.end_position)
            if LogPosition(file, offset).order > LogPosition(self._file, self._offset).order:
                self._file, self._offset = file, offset
        return (IDLE,)

    def _on_previous_gtids(self, event: Event) -> Iterable[Change]:
        if self._learns_gtids:
            found = MysqlGtidSet()
            for name, first, last in ev.read_previous_gtids(event.buf[event.start : event.end]):
                found.add_interval(name, first, last)
            self._learn(found)
        return self._on_passed_over(event)

    def _on_mariadb_gtid_list(self, event: Event) -> Iterable[Change]:
        if self._learns_gtids:
            found = MariadbGtidSet()
            for domain, server, number in ev.read_mariadb_gtid_list(event.buf[event.start : event.end]):
                found.add(f"{domain}-{server}-{number}")
            self._learn(found)
        return self._on_passed_over(event)

    def _learn(self, gtids: GtidSet) -> None:
        self._gtids, self._learns_gtids = gtids, False

    def _on_passed_over(self, event: Event) -> Iterable[Change]:
        if self._transaction is None and event.end_position and not event.flags & ARTIFICIAL:
            self._offset = self._unwrapped(event.end_position)
        return ()

    def _on_unknown(self, event: Event) -> Iterable[Change]:
        if not event.flags & ev.IGNORABLE:
            self._refuse(event, f"an event of type {event.kind}, unknown to this version")
        return self._on_passed_over(event)

    def _on_unreadable(self, event: Event) -> Iterable[Change]:
        if self._transaction is None or self._transaction.wanted:
            self._refuse(event, _UNREADABLE[event.kind])
        return ()

    def _refuse(self, event: Event, what: str) -> None:
        self._unreadable.note(event, UnreadableData(f"the log holds {what}"))

    def _place(self) -> str:
        transaction = self._transaction
        if transaction is None:
            return f"{self._file}:{self._offset}"
        gtid = f" (transaction {transaction.gtid})" if transaction.gtid else ""
        return f"{transaction.file}:{transaction.position}{gtid}"

    def _unwrapped(self, end_position: int) -> int:
        """Positions travel in 32 bits; files may be larger."""
        found = self._offset & ~0xFFFFFFFF | end_position
        return found if found >= self._offset or not self._offset >> 31 else found + (1 << 32)
