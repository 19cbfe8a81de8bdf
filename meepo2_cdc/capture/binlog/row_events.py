"""
Table maps and rows events as Rows: the part of reading that runs once an event.

Keeps the layouts of the tables that are open in the log.  Tables that are filtered out cost one look-up.
"""

from __future__ import annotations

import struct

import structlog

from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.full_rows import Payload, Payloads
from meepo2_cdc.capture.binlog.stream import Event
from meepo2_cdc.capture.binlog.tables import Catalog, TableGone, TableLayout, columns_of, layout_of, lenenc, names_of
from meepo2_cdc.capture.binlog.transactions import Rows, Transaction
from meepo2_cdc.capture.binlog.unreadable import Unreadable
from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.observe import metrics
from meepo2_cdc.records import Action
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()
_u2 = struct.Struct("<H").unpack_from

KINDS = {
    # action, images a row, whether extra data stands in front
    ev.WRITE_ROWS: (Action.WRITE, 1, True),
    ev.UPDATE_ROWS: (Action.UPDATE, 2, True),
    ev.DELETE_ROWS: (Action.DELETE, 1, True),
    ev.PARTIAL_UPDATE_ROWS: (Action.UPDATE, 2, True),
    ev.WRITE_ROWS_V1: (Action.WRITE, 1, False),
    ev.UPDATE_ROWS_V1: (Action.UPDATE, 2, False),
    ev.DELETE_ROWS_V1: (Action.DELETE, 1, False),
}
_FILTERED = None
NO_KEY, ONLINE_DDL = "no-primary-key", "online-ddl"
_NEVER_COUNTED = (NO_KEY, ONLINE_DDL)
_GHOST = UnreadableData(
    "its name is that of a copy made by gh-ost or pt-online-schema-change; if it is none, name it in tables"
)
_LAYOUTS_LIMIT = 20_000
_NO_ROWS_BYTES = 12
"""A rows event of at most so many bytes holds no row: it only ends its statement."""


class RowEvents:
    """Reads table maps and rows events; what cannot be read goes to `unreadable`."""

    def __init__(
        self, tables: TableFilter, catalog: Catalog, unreadable: Unreadable, payloads: Payloads | None = None
    ) -> None:
        self._tables = tables
        self._catalog = catalog
        self._unreadable = unreadable
        self._payloads = payloads
        self._layouts: dict[int, TableLayout | None] = {}
        self._known: dict[bytes, TableLayout | None] = {}
        self._warned: set[str] = set()

    def forget_tables(self) -> None:
        """Table ids begin anew: another file, another server."""
        self._layouts.clear()

    def definitions_changed(self, event: Event, schema: str, statement: str, here_us: int) -> None:
        """The same table map may now mean another key."""
        self._known.clear()
        ended_s = ev.ended_s(event.buf, event.start, event.timestamp, here_us)
        try:
            self._catalog.definition_changed(schema, statement, event.timestamp, ended_s)
        except UnreadableData as error:
            self._unreadable.note(event, error)

    def on_table_map(self, event: Event, transaction: Transaction | None) -> None:
        buf, start = event.buf, event.start
        table_id = int.from_bytes(buf[start : start + 6], "little")
        if transaction is not None and not transaction.wanted and transaction.xa is None:
            self._layouts[table_id] = _FILTERED  # not understood, so as not to ask for tables of long ago
            return
        body = buf[start + 6 : event.end]
        if body in self._known:
            self._layouts[table_id] = self._known[body]
            return
        if len(self._known) >= _LAYOUTS_LIMIT:
            self._known.clear()
        written_s = event.timestamp if transaction is None else transaction.here_us // 1_000_000
        self._layouts[table_id] = self._known[body] = self._understood(event, body, written_s)

    def _understood(self, event: Event, body: bytes, written_s: int) -> TableLayout | None:
        schema = table = "?"
        try:
            schema, table = names_of(body)
            if self._tables.is_ghost(schema, table):
                return self._set_aside(TableLayout(schema, table, (), (), skipped=ONLINE_DDL), _GHOST)
            if not self._tables.passes(schema, table):
                return _FILTERED
            layout = layout_of(body, self._catalog, written_s)
        except TableGone as gone:
            return self._set_aside(_without_key(body, schema, table, "table-gone"), gone)
        except UnreadableData as error:
            self._unreadable.note(event, error)
            return self._set_aside(_without_key(body, schema, table, "unreadable"), error)
        if not layout.key:
            layout.skipped = NO_KEY
            self._set_aside(layout, UnreadableData("it has no primary key"))
        elif self._payloads is not None:
            layout.payload = self._payload(event, layout, body, self._payloads)
        return layout

    def _payload(self, event: Event, layout: TableLayout, body: bytes, payloads: Payloads) -> Payload | None:
        try:
            return payloads.of(layout, body)
        except UnreadableData as error:
            self._unreadable.note(event, error)
            return Payload.unreadable(layout)

    def _set_aside(self, layout: TableLayout, why: UnreadableData) -> TableLayout:
        if layout.qualified_table not in self._warned:
            self._warned.add(layout.qualified_table)
            log.warning("Rows of a table are passed over", table=layout.qualified_table, why=why.found)
        return layout

    def on_rows(self, event: Event, transaction: Transaction | None, *, resuming: bool) -> Rows | None:
        """
        The captured rows of the event; None when there are none.

        `resuming`: rows that are published already are still to be passed over, by their number.
        """
        buf, start = event.buf, event.start
        try:
            layout = self._layouts[int.from_bytes(buf[start : start + 6], "little")]
        except KeyError:
            if event.end - start > _NO_ROWS_BYTES:
                self._unreadable.note(event, UnreadableData("the log holds a rows event whose table map did not come"))
            return None
        if layout is _FILTERED:
            return None
        if transaction is None:
            self._unreadable.note(event, UnreadableData("the log holds rows outside of any transaction"))
            return None
        if layout.skipped is not None:
            metrics.ROWS_EVENTS_SKIPPED.labels(metrics.TABLES.of(layout.qualified_table), layout.skipped).inc()
            return None if layout.skipped in _NEVER_COUNTED else self._counted(event, layout, transaction, resuming)
        try:
            keys = _keys(event, layout)
        except UnreadableData as error:
            self._unreadable.note(event, UnreadableData(f"{error.found}, of {layout.qualified_table}", fix=error.fix))
            return self._counted(event, layout.without_key("unreadable"), transaction, resuming=False)
        images = None if layout.payload is None else self._images(event, layout, keys)
        return Rows(layout, KINDS[event.kind][0], keys, transaction, transaction.rows, images) if keys else None

    def _images(self, event: Event, layout: TableLayout, keys: list[bytes]) -> list[bytes]:
        """The whole rows; none where they cannot be read, and the policy is to go on with their keys."""
        if layout.payload.is_unreadable:
            return []
        try:
            images = _images(event, layout.payload)
        except UnreadableData as error:
            self._unreadable.note(event, _unpublished(layout, error))
            return []
        try:
            layout.payload.refuse_oversize(KINDS[event.kind][0], keys, images)
        except UnreadableData as error:
            self._unreadable.stop(event, _unpublished(layout, error))
        return images

    def _counted(self, event: Event, layout: TableLayout, transaction: Transaction, resuming: bool) -> Rows | None:
        """
        Rows that are passed over, without their keys.

        They count among those of the transaction, so that `rows_done` means the same rows when they can be read later.
        """
        try:
            keys = _keys(event, layout)
        except UnreadableData as error:
            if not resuming:
                return None
            raise UnreadableData(
                f"the checkpoint lies inside a transaction, behind rows of {layout.qualified_table} that cannot be"
                f" counted any more ({layout.skipped})",
                fix="`meepo2-cdc checkpoint rewind` to before that transaction publishes all of it again.",
            ) from error
        return Rows(layout, KINDS[event.kind][0], keys, transaction, transaction.rows) if keys else None


def _keys(event: Event, layout: TableLayout) -> list[bytes]:
    _, images, has_extra = KINDS[event.kind]
    buf, at = event.buf, event.start + 8
    if has_extra:
        at += _u2(buf, at)[0]
    columns, at = lenenc(buf, at)
    size = (columns + 7) // 8 * images
    walker = layout.walker(buf[at : at + size], images, partial_json=event.kind == ev.PARTIAL_UPDATE_ROWS)
    return walker.keys(buf, at + size, event.end)


def _images(event: Event, payload: Payload) -> list[bytes]:
    """As `_keys`, the whole rows."""
    _, images, has_extra = KINDS[event.kind]
    buf, at = event.buf, event.start + 8
    if has_extra:
        at += _u2(buf, at)[0]
    columns, at = lenenc(buf, at)
    behind = at + (columns + 7) // 8 * images
    partial = event.kind == ev.PARTIAL_UPDATE_ROWS
    return payload.images(buf[at:behind], images, buf, behind, event.end, partial=partial)


def _unpublished(layout: TableLayout, error: UnreadableData) -> UnreadableData:
    return UnreadableData(f"the rows of {layout.qualified_table} cannot be published: {error.found}", fix=error.fix)


def _without_key(body: bytes, schema: str, table: str, why: str) -> TableLayout:
    """A layout to count rows by, or, where not even the columns are understood, none that fits any."""
    try:
        return columns_of(body).without_key(why)
    except UnreadableData:
        return TableLayout(schema, table, (), (), skipped=why)
