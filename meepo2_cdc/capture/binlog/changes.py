"""
The log's events as changes of rows, and the position that goes with them.

Follows transactions: where one begins, what it changed, where it ends.  Knows nothing of Kafka; of the server it asks
only what a table's key is.  What it cannot read stops it, or is counted and named where the policy says so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.catalog import ServerCatalog, TableGone
from meepo2_cdc.capture.binlog.stream import ARTIFICIAL, BinlogStream, Event
from meepo2_cdc.capture.binlog.tables import TableLayout, layout_of, lenenc, names_of
from meepo2_cdc.capture.filter import TableFilter
from meepo2_cdc.errors import PositionLost, UnreadableData
from meepo2_cdc.observe import metrics
from meepo2_cdc.records import Action
from meepo2_cdc.records.position import GtidSet, LogPosition, MariadbGtidSet, MysqlGtidSet

log = structlog.get_logger()
_u2 = struct.Struct("<H").unpack_from


@dataclass(slots=True)
class Transaction:
    """
    A transaction that is being read.

    `rows` counts its captured rows so far.  `open` says that it goes on until a COMMIT, else it is one statement.
    `encoded` is a place where the encoder keeps what it has encoded for this transaction.
    """

    gtid: str | None
    committed_us: int
    file: str
    position: int
    open: bool
    wanted: bool
    rows: int = 0
    xa: bool = False
    encoded: Any = None


class Rows(NamedTuple):
    """
    Rows of one event.  `keys` are encoded primary keys: one a row, or for updates the old and the new of each in turn.

    `first_row` is the number of the first among the captured rows of the transaction.
    """

    layout: TableLayout
    action: Action
    keys: list[bytes]
    transaction: Transaction
    first_row: int


class Truncate(NamedTuple):
    """A table that was emptied."""

    schema: str
    table: str
    transaction: Transaction


class Mark(NamedTuple):
    """Something beside a change: a transaction ended, or nothing more is waiting."""

    name: str


ENDED = Mark("transaction ended")
IDLE = Mark("nothing is waiting")
Change = Rows | Truncate | Mark


@dataclass(slots=True)
class Position:
    """
    Everything before `file`:`offset` has been read, and `rows_done` captured rows of the transaction `gtid` that
    begins there.

    `gtids` is None while they are not known: the server has none, or the log is read from a file's beginning, which
    will tell them.
    """

    file: str
    offset: int
    gtids: GtidSet | None
    gtid: str | None = None
    rows_done: int = 0


@dataclass(frozen=True, slots=True)
class Since:
    """Transactions before this are read for their ids only."""

    position: LogPosition | None = None
    committed_us: int | None = None

    def admits(self, transaction: Transaction) -> bool:
        if self.position is not None:
            return LogPosition(transaction.file, transaction.position).order >= self.position.order
        return self.committed_us is None or transaction.committed_us >= self.committed_us


_ROWS = {
    ev.WRITE_ROWS: (Action.WRITE, 1, True),
    ev.UPDATE_ROWS: (Action.UPDATE, 2, True),
    ev.DELETE_ROWS: (Action.DELETE, 1, True),
    ev.WRITE_ROWS_V1: (Action.WRITE, 1, False),
    ev.UPDATE_ROWS_V1: (Action.UPDATE, 2, False),
    ev.DELETE_ROWS_V1: (Action.DELETE, 1, False),
}
_UNREADABLE = {
    ev.TRANSACTION_PAYLOAD: "a compressed transaction (binlog_transaction_compression = ON)",
    ev.TAGGED_GTID: "a transaction with a tagged GTID",
    ev.PARTIAL_UPDATE_ROWS: "an update of parts of JSON values (binlog_row_value_options = PARTIAL_JSON)",
    ev.EXECUTE_LOAD_QUERY: "a LOAD DATA statement in statement format",
    ev.INCIDENT: "an incident: the server says that its log has lost changes here",
    ev.MARIADB_QUERY_COMPRESSED: "a compressed statement (log_bin_compress = ON)",
    **{kind: "compressed rows (log_bin_compress = ON)" for kind in ev.MARIADB_COMPRESSED_ROWS},
}
_FILTERED = None
_LAYOUTS_LIMIT = 20_000


class ChangeReader:
    """
    Reads changes from streams, one after the other when the connection is made anew.

    `position` is true whenever a change has been taken and the next was not yet asked for.
    """

    def __init__(
        self,
        position: Position,
        tables: TableFilter,
        catalog: ServerCatalog,
        *,
        since: Since,
        learn_gtids: bool,
        skip_unreadable: bool,
    ) -> None:
        self._file, self._offset, self._gtids = position.file, position.offset, position.gtids
        self._skip_gtid, self._skip_rows = position.gtid, position.rows_done
        self._learns_gtids = learn_gtids and position.gtids is None
        self._tables = tables
        self._catalog = catalog
        self._since: Since | None = since
        self._skip_unreadable = skip_unreadable
        self._transaction: Transaction | None = None
        self._layouts: dict[int, TableLayout | None] = {}
        self._known: dict[bytes, TableLayout | None] = {}
        self._uuids: dict[bytes, str] = {}
        self._warned: set[str] = set()
        self.committed_us: int | None = None
        self._handlers: dict[int, Callable[[Event], Iterable[Change]]] = {
            ev.GTID: self._on_gtid,
            ev.ANONYMOUS_GTID: self._on_gtid,
            ev.MARIADB_GTID: self._on_mariadb_gtid,
            ev.QUERY: self._on_query,
            ev.TABLE_MAP: self._on_table_map,
            **dict.fromkeys(_ROWS, self._on_rows),
            ev.XID: self._on_end,
            ev.XA_PREPARE: self._on_end,
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
        transaction = self._transaction
        gtids = None if self._gtids is None else self._gtids.copy()
        if transaction is None:
            return Position(self._file, self._offset, gtids, self._skip_gtid, self._skip_rows)
        rows_done = max(transaction.rows, self._skip_rows)
        return Position(
            transaction.file, transaction.position, gtids, transaction.gtid if rows_done else None, rows_done
        )

    def changes(self, stream: BinlogStream) -> Iterator[Change]:
        """Changes from the stream, which must begin at or before `position`; ENDED after each transaction."""
        self._restart()
        handlers = self._handlers
        for event in stream.events():
            if event is None:
                yield IDLE
                continue
            handler = handlers.get(event.kind)
            if handler is None:
                handler = self._on_unknown
            yield from handler(event)

    def _restart(self) -> None:
        """A new stream sends the transaction in progress again, from its beginning."""
        position = self.position
        self._file, self._offset = position.file, position.offset
        self._skip_gtid, self._skip_rows = position.gtid, position.rows_done
        self._transaction = None
        self._layouts.clear()

    # -- transactions

    def _on_gtid(self, event: Event) -> Iterable[Change]:
        found = ev.read_gtid(event.buf, event.start, event.end)
        gtid = None
        if event.kind == ev.GTID:
            server = self._uuids.get(found.server)
            if server is None:
                server = self._uuids[found.server] = str(UUID(bytes=found.server))
            gtid = f"{server}:{found.number}"
        self._begin(event, gtid, found.committed_us, is_open=False)
        return ()

    def _on_mariadb_gtid(self, event: Event) -> Iterable[Change]:
        number, domain, flags = ev.read_mariadb_gtid(event.buf, event.start)
        gtid = f"{domain}-{event.server_id}-{number}"
        self._begin(event, gtid, None, is_open=not flags & ev.MARIADB_STANDALONE)
        return ()

    def _begin(self, event: Event, gtid: str | None, committed_us: int | None, *, is_open: bool) -> Transaction:
        start = self._unwrapped(event.end_position) - event.size
        if committed_us is None:
            committed_us = event.timestamp * 1_000_000
        transaction = Transaction(gtid, committed_us, self._file, start, is_open, wanted=True)
        if self._skip_gtid is not None and gtid != self._skip_gtid:
            raise PositionLost(
                f"{self._skip_rows} rows of transaction {self._skip_gtid} are published,"
                f" but the source goes on with {gtid}",
                fix="Point source.dsn at the server that was read before, or at a replica that keeps its commit order.",
            )
        if self._since is not None:
            transaction.wanted = self._since.admits(transaction)
            if transaction.wanted:
                self._since = None
        self._transaction = transaction
        return transaction

    def _on_end(self, event: Event) -> Iterable[Change]:
        transaction = self._transaction
        if transaction is not None:
            if transaction.gtid is not None and self._gtids is not None:
                self._gtids.add(transaction.gtid)
            self.committed_us = transaction.committed_us
            self._transaction = None
        self._skip_gtid, self._skip_rows = None, 0
        self._offset = self._unwrapped(event.end_position)
        return (ENDED,)

    def _on_query(self, event: Event) -> Iterable[Change]:
        buf, end = event.buf, event.end
        if buf[end - 6 : end] == b"\0BEGIN":
            if self._transaction is None:  # a server without any GTID events
                self._begin(event, None, None, is_open=True)
            else:
                self._transaction.open = True
            return ()
        schema, statement = ev.read_query(buf, event.start, end)
        return self._on_statement(event, schema, ev.bare(statement))

    def _on_statement(self, event: Event, schema: str, statement: str) -> Iterable[Change]:
        words = ev.first_words(statement)
        transaction = self._transaction or self._begin(event, None, None, is_open=False)
        if words[:1] == ("XA",):
            return self._on_xa(event, transaction, words)
        if words == ("COMMIT",):
            return self._on_end(event)
        if words == ("ROLLBACK",):
            return self._on_rollback(event, transaction)
        if words[:1] in (("SAVEPOINT",), ("ROLLBACK",), ("RELEASE",)):
            return ()
        if transaction.wanted and ev.changes_rows(statement):
            self._refuse(event, f"a {words[0]} statement, logged as text (binlog_format is not ROW in that session)")
        truncated = ev.truncated_table(schema, statement)
        if truncated is not None and transaction.wanted and self._tables.passes(*truncated):
            return self._on_truncate(event, *truncated, transaction)
        self._definitions_changed(words, schema)
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

    def _on_xa(self, event: Event, transaction: Transaction, words: tuple[str, ...]) -> Iterable[Change]:
        if words[1:] in (("START",), ("BEGIN",)):
            transaction.open = transaction.xa = True
        return () if transaction.open else self._on_end(event)

    def _definitions_changed(self, words: tuple[str, ...], schema: str) -> None:
        self._known.clear()
        self._catalog.forget()
        log.debug("A definition changed", statement=" ".join(words), schema=schema, position=str(self._here()))

    # -- rows

    def _on_table_map(self, event: Event) -> Iterable[Change]:
        buf, start = event.buf, event.start
        body = buf[start + 6 : event.end]
        if body in self._known:
            layout = self._known[body]
        else:
            layout = self._understood(event, body)
            if len(self._known) >= _LAYOUTS_LIMIT:
                self._known.clear()
            self._known[body] = layout
        self._layouts[int.from_bytes(buf[start : start + 6], "little")] = layout
        return ()

    def _understood(self, event: Event, body: bytes) -> TableLayout | None:
        schema, table = names_of(body)
        if not self._tables.passes(schema, table) or not self._wanted():
            return _FILTERED
        try:
            layout = layout_of(body, self._catalog)
        except TableGone as gone:
            return self._set_aside(event, TableLayout(schema, table, (), (), skipped="table-gone"), gone)
        except UnreadableData as error:
            if not self._skip_unreadable:
                raise self._located(event, error) from error
            return self._set_aside(event, TableLayout(schema, table, (), (), skipped="unreadable"), error)
        if not layout.key:
            layout.skipped = "no-primary-key"
            self._set_aside(event, layout, UnreadableData(f"{layout.qualified_table} has no primary key"))
        return layout

    def _set_aside(self, event: Event, layout: TableLayout, why: UnreadableData) -> TableLayout:
        if layout.qualified_table not in self._warned:
            self._warned.add(layout.qualified_table)
            log.warning(
                "Rows of a table are passed over", table=layout.qualified_table, why=why.found, at=str(self._here())
            )
        return layout

    def _on_rows(self, event: Event) -> Iterable[Change]:
        action, images, has_extra = _ROWS[event.kind]
        buf, start = event.buf, event.start
        try:
            layout = self._layouts[int.from_bytes(buf[start : start + 6], "little")]
        except KeyError:
            return self._rows_without_table(event)
        transaction = self._transaction
        if layout is _FILTERED or transaction is None or not transaction.wanted:
            return ()
        if layout.skipped is not None:
            metrics.ROWS_EVENTS_SKIPPED.labels(layout.qualified_table, layout.skipped).inc()
            return ()
        if transaction.xa:
            self._refuse(event, f"rows of {layout.qualified_table} in an XA transaction, whose end is not known here")
        at = start + 8
        if has_extra:
            at += _u2(buf, at)[0]
        columns, at = lenenc(buf, at)
        size = (columns + 7) // 8 * images
        keys = self._keys(event, layout, buf[at : at + size], at + size, images)
        first = transaction.rows
        transaction.rows += len(keys) // images
        if first < self._skip_rows:
            passed = min(self._skip_rows - first, len(keys) // images)
            keys, first = keys[passed * images :], first + passed
        return (Rows(layout, action, keys, transaction, first),) if keys else ()

    def _keys(self, event: Event, layout: TableLayout, bitmaps: bytes, at: int, images: int) -> list[bytes]:
        try:
            return layout.walker(bitmaps, images).keys(event.buf, at, event.end)
        except UnreadableData as error:
            if not self._skip_unreadable:
                raise self._located(event, error, f" of {layout.qualified_table}") from error
            self._count_unreadable(event, error.found)
            return []

    def _rows_without_table(self, event: Event) -> Iterable[Change]:
        if event.end - event.start > 12 and self._wanted():  # an empty event only ends its statement
            self._refuse(event, "a rows event whose table map did not come")
        return ()

    def _wanted(self) -> bool:
        return self._transaction is not None and self._transaction.wanted

    # -- the log itself

    def _on_rotate(self, event: Event) -> Iterable[Change]:
        file, offset = ev.read_rotate(event.buf[event.start : event.end])
        if file != self._file:
            self._file, self._offset = file, offset
        self._layouts.clear()
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
            for server, intervals in ev.read_previous_gtids(event.buf[event.start : event.end]):
                for first, last in intervals:
                    found.add_interval(str(UUID(bytes=server)), first, last)
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
        if event.flags & ev.IGNORABLE:
            return self._on_passed_over(event)
        self._refuse(event, f"an event of type {event.kind}, unknown to this version")
        return ()

    def _on_unreadable(self, event: Event) -> Iterable[Change]:
        if self._since is None or event.kind in (ev.TRANSACTION_PAYLOAD, ev.TAGGED_GTID):
            self._refuse(event, _UNREADABLE[event.kind])
        return ()

    # -- what cannot be read

    def _refuse(self, event: Event, what: str) -> None:
        """Raises UnreadableData, or counts and names what is passed over."""
        if not self._skip_unreadable:
            raise self._located(event, UnreadableData(f"the log holds {what}"))
        self._count_unreadable(event, what)

    def _count_unreadable(self, event: Event, what: str) -> None:
        metrics.EVENTS_UNREADABLE.labels(str(event.kind)).inc()
        log.error("An event was passed over", what=what, at=str(self._here()), end_position=event.end_position)

    def _located(self, event: Event, error: UnreadableData, where: str = "") -> UnreadableData:
        transaction = self._transaction
        gtid = f" (transaction {transaction.gtid})" if transaction is not None and transaction.gtid else ""
        when = datetime.fromtimestamp(event.timestamp, UTC).isoformat(timespec="seconds")
        return UnreadableData(
            f"{error.found}{where}, at {self._here()}{gtid}, written {when}",
            fix=error.fix or "To pass over such events, counted and named in the log: [capture] on_unreadable = skip",
        )

    def _here(self) -> LogPosition:
        transaction = self._transaction
        return LogPosition(self._file, self._offset if transaction is None else transaction.position)

    def _unwrapped(self, end_position: int) -> int:
        """Positions travel in 32 bits; files may be larger."""
        found = self._offset & ~0xFFFFFFFF | end_position
        return found if found >= self._offset or not self._offset >> 31 else found + (1 << 32)
