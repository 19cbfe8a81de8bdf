"""
The log's events as changes of rows, and the position that goes with them.

Follows transactions: where one begins, what it changed, whether and where it was committed.  Knows nothing of Kafka.
What it cannot read stops it, or is counted and named where the policy says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import cast
from uuid import UUID

import structlog

from meepo2_cdc.capture.binlog import compressed, row_events, savepoints
from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.full_rows import Payloads
from meepo2_cdc.capture.binlog.lost_tables import warn_of_lost
from meepo2_cdc.capture.binlog.place import LogPlace
from meepo2_cdc.capture.binlog.stream import Event, EventStream
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
)
from meepo2_cdc.capture.binlog.unreadable import Unreadable
from meepo2_cdc.capture.binlog.xa import XaTransactions
from meepo2_cdc.errors import PositionLost, UnreadableData
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

_UNREADABLE = {
    ev.EXECUTE_LOAD_QUERY: "a LOAD DATA statement in statement format",
    ev.INCIDENT: "an incident: the server says that its log has lost changes here",
}


class ChangeReader:
    """
    Reads changes from streams, one after the other when the connection is made anew.

    `position` is what is done, and `reading` where a new stream must begin; both are true whenever a change has been
    taken and the next was not yet asked for.  `on_definition` hears of each statement that may have changed a table, by
    its default schema and its text.
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
        payloads: Payloads | None = None,
    ) -> None:
        self._place = LogPlace(position, learns=learn_gtids)
        self._skip_gtid, self._skip_rows = position.gtid, position.rows_done
        self._tables = tables
        self._catalog = catalog
        self._since: Since | None = since
        self._transaction: Transaction | None = None
        self._xa = XaTransactions(self)
        self._uuids: dict[bytes, str] = {}
        self._unreadable = Unreadable(self._where, skip=skip_unreadable)
        self._row_events = row_events.RowEvents(tables, catalog, self._unreadable, payloads)
        self.committed_us: int | None = None
        self.on_definition: Callable[[str, str], None] = lambda schema, statement: None
        self._handlers: dict[int, Callable[[Event], Iterable[Change]]] = {
            ev.GTID: self._on_gtid,
            ev.ANONYMOUS_GTID: self._on_anonymous_gtid,
            ev.TAGGED_GTID: self._on_tagged_gtid,
            ev.MARIADB_GTID: self._on_mariadb_gtid,
            ev.QUERY: self._on_query,
            ev.MARIADB_QUERY_COMPRESSED: lambda event: self._on_query(compressed.plain_query(event)),
            ev.TABLE_MAP: self._on_table_map,
            **dict.fromkeys(row_events.KINDS, self._on_rows),
            **dict.fromkeys(ev.MARIADB_COMPRESSED_ROWS, lambda event: self._on_rows(compressed.plain_rows(event))),
            ev.TRANSACTION_PAYLOAD: self._on_payload,
            ev.XID: self.end,
            ev.XA_PREPARE: lambda event: self._xa.on_prepare(event, self._transaction),
            ev.ROTATE: self._on_rotate,
            ev.HEARTBEAT: self._on_heartbeat,
            ev.PREVIOUS_GTIDS: self._on_earlier_gtids,
            ev.MARIADB_GTID_LIST: self._on_earlier_gtids,
            **dict.fromkeys((ev.FORMAT_DESCRIPTION, *ev.PASSED_OVER), self._on_passed_over),
            **dict.fromkeys(_UNREADABLE, self._on_unreadable),
        }

    @property
    def position(self) -> Position:
        """What is done: published, or never wanted."""
        if self._since is not None and self._since.published is not None:
            return self._since.published  # what is read again is not yet past it
        return replace(self.reading, undecided=self._xa.undecided(self.committed_us or 0))

    @property
    def reading(self) -> Position:
        """Where a new stream must begin: before the transaction in progress."""
        transaction, place = self._transaction, self._place
        gtids = place.copy_of_gtids()
        if transaction is None:
            return Position(place.file, place.offset, gtids, self._skip_gtid, self._skip_rows)
        if not transaction.wanted:  # the rows that are published are those of a transaction that is yet to come
            return Position(transaction.file, transaction.position, gtids, self._skip_gtid, self._skip_rows)
        rows_done = max(transaction.rows, self._skip_rows)
        gtid = transaction.gtid if rows_done else None
        return Position(transaction.file, transaction.position, gtids, gtid, rows_done)

    @property
    def boundary(self) -> Position | None:
        """
        Where reading stands between two transactions, all before it given out, and what is executed there; None within
        one, and while what is published is read again.
        """
        place = self._place
        if self._transaction is not None or self._skip_rows or not place.file or not self._is_past_published():
            return None
        return Position(place.file, place.offset, place.executed())

    def _is_past_published(self) -> bool:
        since = self._since
        if since is None or since == Since():
            return True
        published, done = since.published, self._place.gtids
        return published is not None and done is not None and published.gtids == done

    def has_reached(self, end: LogPosition) -> bool:
        """Whether all before `end` is done.  Cheap: asked once a transaction."""
        return self._transaction is None and not self._skip_rows and self._place.has_reached(end)

    def changes(self, stream: EventStream) -> Iterator[Change]:
        """Changes from the stream, which must begin at `reading`; ENDED after each transaction."""
        self._restart()
        handler, unknown = self._handlers.get, self._on_unknown
        for event in stream.events():
            if event is None:
                yield IDLE
            elif found := handler(event.kind, unknown)(event):
                yield from found

    def _handled(self, event: Event) -> Iterable[Change]:
        return self._handlers.get(event.kind, self._on_unknown)(event)

    def _restart(self) -> None:
        """A new stream sends the transaction in progress again, from its beginning."""
        reading = self.reading
        self._place.file, self._place.offset = reading.file, reading.offset
        self._skip_gtid, self._skip_rows = reading.gtid, reading.rows_done
        self._transaction = None
        self._row_events.forget_tables()

    # -- transactions

    def _on_gtid(self, event: Event) -> Iterable[Change]:
        if self._place.told is not None:
            self._place.adopt_told()
        server, number, committed_us, here_us = ev.read_gtid(event.buf, event.start, event.end)
        return self._begin(event, f"{self._uuid(server)}:{number}", committed_us, here_us)

    def _on_anonymous_gtid(self, event: Event) -> Iterable[Change]:
        self._place.at_anonymous()
        found = ev.read_gtid(event.buf, event.start, event.end)
        return self._begin(event, None, found.committed_us, found.here_us)

    def _on_tagged_gtid(self, event: Event) -> Iterable[Change]:
        if self._place.told is not None:
            self._place.adopt_told()
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
        if self._transaction is not None and self._transaction.wanted:
            self.refuse(event, "a transaction without an end: another one begins before it is over")
        event_us = event.timestamp * 1_000_000
        place = self._place
        transaction = Transaction(
            gtid, committed_us or event_us, here_us or event_us, place.file, place.begin_of(event), is_open, xa=xa
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
        gtids = self._place.gtids
        if published is not None and None not in (gtids, published.gtids) and gtids != published.gtids:
            raise PositionLost(
                f"published are {published.gtids}, but the source goes on behind {gtids}",
                fix="Point source.dsn at the server that was read before, or at a replica that keeps its commit order.",
            )

    def _transaction_of(self, event: Event) -> Transaction:
        """The transaction in progress; one that begins here on servers without any GTID events."""
        if self._transaction is None:
            self._begin(event, None)
        return cast(Transaction, self._transaction)

    def end(self, event: Event) -> Iterable[Change]:
        """The transaction in progress, if there is one, is over behind this event."""
        transaction, place = self._transaction, self._place
        if transaction is not None:
            if transaction.savepoints is not None and transaction.held and transaction.xa is None:
                return self._end_behind_held(event, transaction)
            if transaction.gtid is not None and place.gtids is not None:
                place.gtids.add(transaction.gtid)
            self.committed_us = transaction.committed_us
            self._transaction = None
            if transaction.wanted:
                self._skip_gtid, self._skip_rows = None, 0
        place.offset = place.unwrapped(event.end_position)
        return (ENDED,)

    def _end_behind_held(self, event: Event, transaction: Transaction) -> Iterator[Change]:
        yield from self._give_held(transaction)
        yield from self.end(event)

    def _give_held(self, transaction: Transaction) -> Iterator[Change]:
        held, transaction.held = transaction.held, []
        for rows in held:
            yield from self.give(rows._replace(first_row=transaction.rows))

    def _on_payload(self, event: Event) -> Iterator[Change]:
        events = compressed.payload_events(event)
        while True:
            try:
                inner = next(events, None)
            except UnreadableData as error:
                self._unreadable.note(event, error)
                yield from self.end(event)
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
            return self._xa.on_statement(event, transaction, words[1:], statement)
        if words == ("COMMIT",):
            return self.end(event)
        if words == ("ROLLBACK",):
            return self._on_rollback(event, transaction)
        if words[:1] in (("SAVEPOINT",), ("ROLLBACK",), ("RELEASE",)):
            return self._on_savepoint(event, transaction, words[0], statement)
        if transaction.wanted and ev.changes_rows(statement) and self._may_be_captured(event):
            self.refuse(event, f"a statement as text, {words[0]} ... (binlog_format was not ROW in that session)")
        partitioned = ev.table_of_partition_change(schema, statement)
        truncated = ev.truncated_table(schema, statement) or partitioned
        self.on_definition(schema, statement)
        if truncated is None:
            self._row_events.definitions_changed(event, schema, statement, transaction.here_us)
        elif transaction.wanted and self._tables.passes(*truncated):
            if partitioned is not None:
                log.warning(
                    "Partitions of a table changed: a truncate tells of rows that it lost, nothing of rows that it got",
                    table=".".join(partitioned), at=self._where(),
                )  # fmt: skip
            return self._on_truncate(event, *truncated, transaction)
        if transaction.wanted:
            warn_of_lost(schema, statement, self._tables, self._where())
        log.debug("A definition changed", statement=" ".join(words), schema=schema, at=self._where())
        return () if transaction.open else self.end(event)

    def _may_be_captured(self, event: Event) -> bool:
        """Whether a statement that changes rows may change captured ones, as far as the server tells."""
        schemas = ev.updated_schemas(event.buf, event.start)
        return schemas is None or any(self._tables.may_pass_in(schema) for schema in schemas)

    def _on_truncate(self, event: Event, schema: str, table: str, transaction: Transaction) -> Iterator[Change]:
        transaction.rows += 1
        if transaction.rows > self._skip_rows:
            yield Truncate(schema, table, transaction)
        if not transaction.open:
            yield from self.end(event)

    def _on_rollback(self, event: Event, transaction: Transaction) -> Iterable[Change]:
        transaction.held.clear()
        if transaction.rows:
            self.refuse(event, "a transaction that was rolled back although its rows are in the log")
        return self.end(event)

    def _on_savepoint(self, event: Event, transaction: Transaction, verb: str, statement: str) -> Iterable[Change]:
        name = ev.savepoint_of(statement)
        if verb == "SAVEPOINT":
            savepoints.set_savepoint(transaction, name)
        elif verb == "ROLLBACK" and not savepoints.go_back(transaction, name):
            self.refuse(event, f"ROLLBACK TO {name} behind rows that it undid, which may be published by now")
        return ()

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
        if rows.transaction.savepoints is not None:
            return () if savepoints.hold(rows.transaction, rows) else self._give_held(rows.transaction)
        return self.give(rows)

    def give(self, rows: Rows) -> Iterable[Change]:
        """Counts the rows, and leaves out those that are published."""
        first, count = rows.first_row, rows.row_count
        rows.transaction.rows += count
        if rows.layout.skipped is not None:
            return ()
        if first < self._skip_rows:
            rows = rows.without_first(min(self._skip_rows - first, count))
        return (rows,) if rows.keys else ()

    # -- the log itself

    def _on_rotate(self, event: Event) -> Iterable[Change]:
        self._place.rotate(event)
        self._row_events.forget_tables()
        return ()

    def _on_heartbeat(self, event: Event) -> Iterable[Change]:
        if self._transaction is None and event.end_position:
            self._place.heartbeat(event)
        return (IDLE,)

    def _on_earlier_gtids(self, event: Event) -> Iterable[Change]:
        self._place.learn(event)
        return self._on_passed_over(event)

    def _on_passed_over(self, event: Event) -> Iterable[Change]:
        if self._transaction is None:
            self._place.pass_over(event)
        return ()

    def _on_unknown(self, event: Event) -> Iterable[Change]:
        if not event.flags & ev.IGNORABLE:
            self.refuse(event, f"an event of type {event.kind}, unknown to this version")
        return self._on_passed_over(event)

    def _on_unreadable(self, event: Event) -> Iterable[Change]:
        transaction = self._transaction
        if transaction is None or transaction.wanted:
            self.refuse(event, _UNREADABLE[event.kind])
        return () if transaction is None or transaction.open else self.end(event)

    def refuse(self, event: Event, what: str) -> None:
        """Raises UnreadableData; returns when such events are to be passed over."""
        self._unreadable.note(event, UnreadableData(f"the log holds {what}"))

    def _where(self) -> str:
        transaction = self._transaction
        if transaction is None:
            return f"{self._place.file}:{self._place.offset}"
        gtid = f" (transaction {transaction.gtid})" if transaction.gtid else ""
        return f"{transaction.file}:{transaction.position}{gtid}"
