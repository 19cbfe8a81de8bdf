"""
Table-map events as table layouts: what is needed to take primary keys out of the rows that follow.

A layout is known by the bytes of its event, so that a table is understood once and again only when it changes.  The
optional metadata of the event says which columns are the key (binlog_row_metadata=FULL); where the server leaves that
out, the catalog is asked and its answer compared with the event.

Source of the format: MySQL libbinlogevents/include/rows_event.h, Table_map_event and Optional_metadata_fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, TextDecoder, part_decoder
from meepo2_cdc.capture.binlog.rows import Image, KeyWalker
from meepo2_cdc.errors import UnreadableData

(
    SIGNEDNESS, DEFAULT_CHARSET, COLUMN_CHARSET, COLUMN_NAME, SET_LABELS, ENUM_LABELS, GEOMETRY_TYPE,
    SIMPLE_KEY, PREFIX_KEY, LABEL_DEFAULT_CHARSET, LABEL_COLUMN_CHARSET, VISIBILITY, DIMENSIONALITY,
) = range(1, 14)  # fmt: skip


class TableGone(UnreadableData):
    """The table of an event no longer exists, and the event does not say what its key was."""


class Catalog(Protocol):
    """What the server can be asked about, beside its log."""

    @property
    def is_mariadb(self) -> bool:
        """Its table maps differ in small things, and do not say whose they are."""

    def definition_changed(self, schema: str, statement: str, began_s: int, ended_s: float) -> None:
        """
        A statement that changes no rows was read; it began at `began_s` and had been carried out by `ended_s`.

        Raises UnreadableData when it changed a table whose rows were read by a definition of later.
        """

    def charset_of(self, collation: int) -> str | None:
        """The character set of a collation's number; None for bytes.  Raises UnreadableData if it is unknown."""

    def text_decoder(self, charset: str) -> TextDecoder:
        """How bytes in a character set become text."""

    def key_columns(self, table: TableMap) -> tuple[KeyColumn, ...]:
        """The primary key from the server's present definition of the table, after it was found to fit the event."""

    def native_type(self, table: TableMap, column: int) -> str | None:
        """ "uuid", "inet6" or "inet4" where a column of MariaDB that travels as bytes is one of these."""


@dataclass(frozen=True, slots=True)
class TableMap:
    """
    A table-map event, read.  `metadata` maps the optional fields' codes to their bytes; `written_s` is the unix time
    of its transaction, None if that is not known.
    """

    schema: str
    table: str
    columns: tuple[t.Column, ...]
    metadata: dict[int, bytes]
    written_s: int | None = None

    @property
    def qualified_table(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(slots=True)
class TableLayout:
    """
    A table as its rows are now written.  Without a primary key, `key` is empty.

    `skipped` says why its rows are passed over, if they are.  `encoded` is a place where the encoder keeps what it
    has encoded for this layout.  `payload` is how whole rows are read, where they are to be published.
    """

    schema: str
    table: str
    columns: tuple[t.Column, ...]
    key: tuple[tuple[int, bool, Callable[[bytes], bytes]], ...]
    skipped: str | None = None
    encoded: Any = None
    payload: Any = None
    _walkers: dict[tuple[bytes, int, bool], KeyWalker] = field(default_factory=dict)

    @property
    def qualified_table(self) -> str:
        return f"{self.schema}.{self.table}"

    def without_key(self, why: str) -> TableLayout:
        """The same table, whose rows are passed over, but can be counted."""
        return TableLayout(self.schema, self.table, self.columns, (), skipped=why)

    @property
    def bitmap_bytes(self) -> int:
        return (len(self.columns) + 7) // 8

    def walker(self, bitmaps: bytes, images: int, *, partial_json: bool = False) -> KeyWalker:
        """
        The walker for rows with these columns present: one bitmap for each of 1 or 2 images.

        `partial_json`: in the second image JSON values may be differences to those of the first.
        """
        found = self._walkers.get((bitmaps, images, partial_json))
        if found is None:
            size = self.bitmap_bytes
            if len(bitmaps) != size * images:
                raise UnreadableData(f"a rows event has other columns than the {len(self.columns)} of its table map")
            present = [self.present(bitmaps[n * size : (n + 1) * size]) for n in range(images)]
            found = KeyWalker(
                self.columns, self.key, [Image(columns, partial_json and n == 1) for n, columns in enumerate(present)]
            )
            self._walkers[bitmaps, images, partial_json] = found
        return found

    def present(self, bitmap: bytes) -> tuple[int, ...]:
        """The columns that a bitmap of a rows event names."""
        bits = int.from_bytes(bitmap, "little")
        return tuple(n for n in range(len(self.columns)) if bits >> n & 1)


def layout_of(body: bytes, catalog: Catalog, written_s: int | None = None) -> TableLayout:
    """
    Understands a table-map event, from behind its table id to before its checksum; `written_s` as in TableMap.

    Raises UnreadableData for a column type that this version does not know, and as the catalog does.
    """
    try:
        table = replace(read_table_map(body), written_s=written_s)
        key = _key_columns(table, catalog)
    except (IndexError, KeyError, ValueError) as error:
        raise UnreadableData(f"a table map event is not as it should be: {error!r}") from error
    parts = tuple(
        (column.index, column.unsigned, part_decoder(table.columns[column.index], column, catalog.text_decoder))
        for column in key
    )
    return TableLayout(table.schema, table.table, table.columns, parts)


def columns_of(body: bytes) -> TableLayout:
    """As much of a table-map event as its rows are counted by: nothing is asked, and no key is known."""
    try:
        table = read_table_map(body)
    except (IndexError, KeyError, ValueError) as error:
        raise UnreadableData(f"a table map event is not as it should be: {error!r}") from error
    return TableLayout(table.schema, table.table, table.columns, ())


def names_of(body: bytes) -> tuple[str, str]:
    """Schema and table of a table-map event, from behind its table id."""
    try:
        schema, at = _name(body, 2)
        return schema, _name(body, at)[0]
    except (IndexError, ValueError) as error:
        raise UnreadableData(f"a table map event is not as it should be: {error!r}") from error


def _name(body: bytes, at: int) -> tuple[str, int]:
    """A name with its length in front and a zero behind, and where that ends."""
    raw, end = _part(body, at + 1, body[at])
    return raw.decode(), end + 1


def _part(raw: bytes, at: int, size: int) -> tuple[bytes, int]:
    """So many bytes, and where they end; raises IndexError when there are not so many."""
    if at + size > len(raw):
        raise IndexError(f"{size} bytes are announced where {len(raw) - at} are left")
    return raw[at : at + size], at + size


def read_table_map(body: bytes) -> TableMap:
    """The event from behind its table id; raises IndexError, ValueError and KeyError for what is none."""
    schema, at = _name(body, 2)
    table, at = _name(body, at)
    count, at = lenenc(body, at)
    kinds, at = _part(body, at, count)
    size, at = lenenc(body, at)
    meta, at = _part(body, at, size)
    columns = tuple(_columns(kinds, meta, f"{schema}.{table}"))
    _, at = _part(body, at, (count + 7) // 8)  # which columns may be null
    return TableMap(schema, table, columns, dict(_optional_fields(body, at)))


def _columns(kinds: bytes, meta: bytes, table: str) -> Iterator[t.Column]:
    at = 0
    for number, kind in enumerate(kinds, 1):
        if kind not in t.KNOWN:
            raise UnreadableData(f"column {number} of {table} has the binlog type {kind}, unknown to this version")
        declared, at = _part(meta, at, t.META_BYTES.get(kind, 0))
        yield t.unpack_meta(kind, declared)


def _optional_fields(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(body):
        code = body[at]
        size, at = lenenc(body, at + 1)
        found, at = _part(body, at, size)
        yield code, found


def lenenc(raw: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer (MySQL protocol) at `at`, and where it ends."""
    first = raw[at]
    if first < 251:
        return first, at + 1
    size = {252: 2, 253: 3, 254: 8}[first]
    return int.from_bytes(raw[at + 1 : at + 1 + size], "little"), at + 1 + size


def _numbers(raw: bytes) -> list[int]:
    found, at = [], 0
    while at < len(raw):
        number, at = lenenc(raw, at)
        found.append(number)
    return found


def _key_columns(table: TableMap, catalog: Catalog) -> tuple[KeyColumn, ...]:
    if COLUMN_NAME not in table.metadata:  # not FULL: nothing tells whether there is a key
        unsigned = _unsigned(table)
        charsets = _charsets(table, _with_charset(table, catalog), DEFAULT_CHARSET, COLUMN_CHARSET)
        return tuple(_as_written(column, table, unsigned, charsets, catalog) for column in catalog.key_columns(table))
    return tuple(map(described(table, catalog), _key_indexes(table)))


def described(table: TableMap, catalog: Catalog) -> Callable[[int], KeyColumn]:
    """What a table map with FULL metadata says of a column, by its index."""
    unsigned = _unsigned(table)
    charsets = _charsets(table, _with_charset(table, catalog), DEFAULT_CHARSET, COLUMN_CHARSET)
    label_charsets = _charsets(table, {t.ENUM, t.SET}, LABEL_DEFAULT_CHARSET, LABEL_COLUMN_CHARSET)

    def column(index: int) -> KeyColumn:
        charset = catalog.charset_of(charsets[index]) if index in charsets else None
        kind = table.columns[index].type
        native = catalog.native_type(table, index) if kind == t.STRING and charset is None else None
        labels = _labels(table, index, label_charsets, catalog) if kind in (t.ENUM, t.SET) else ()
        return KeyColumn(index, index in unsigned, charset, labels, native)

    return column


def column_names(table: TableMap) -> list[str] | None:
    """None where the server leaves them out (binlog_row_metadata is not FULL)."""
    raw = table.metadata.get(COLUMN_NAME)
    if raw is None:
        return None
    names, at = [], 0
    while at < len(raw):
        size, at = lenenc(raw, at)
        name, at = _part(raw, at, size)
        names.append(name.decode())
    return names


def _with_charset(table: TableMap, catalog: Catalog) -> frozenset[int]:
    """The types whose columns have a character set in the event, if only "binary"; on MariaDB geometry is one."""
    kinds = t.CHARACTER | t.BLOBS | {t.VECTOR}
    if any(column.type == t.GEOMETRY for column in table.columns) and catalog.is_mariadb:
        kinds |= {t.GEOMETRY}
    return kinds


def _as_written(
    now: KeyColumn, table: TableMap, unsigned: set[int], charsets: dict[int, int], catalog: Catalog
) -> KeyColumn:
    """What even the shorter metadata says of a column holds, whatever its definition is now."""
    if SIGNEDNESS in table.metadata and table.columns[now.index].type in t.NUMERIC:
        now = replace(now, unsigned=now.index in unsigned)
    if now.index in charsets:
        now = replace(now, charset=catalog.charset_of(charsets[now.index]))
    return now


def _key_indexes(table: TableMap) -> list[int]:
    if SIMPLE_KEY in table.metadata:
        return _numbers(table.metadata[SIMPLE_KEY])
    # pairs of column and length of the prefix; the whole value is the key part
    return _numbers(table.metadata.get(PREFIX_KEY, b""))[::2]


def _unsigned(table: TableMap) -> set[int]:
    """One bit for each numeric column, the highest bit of a byte first."""
    raw = table.metadata.get(SIGNEDNESS)
    if raw is None:
        return set()
    numeric = [index for index, column in enumerate(table.columns) if column.type in t.NUMERIC]
    return {index for n, index in enumerate(numeric) if raw[n >> 3] >> (7 - (n & 7)) & 1}


def _charsets(table: TableMap, kinds: frozenset[int] | set[int], default: int, each: int) -> dict[int, int]:
    """Collation numbers by column: either one for all with the exceptions, or all in turn."""
    indexes = [index for index, column in enumerate(table.columns) if column.type in kinds]
    if each in table.metadata:
        return dict(zip(indexes, _numbers(table.metadata[each]), strict=True))
    if default not in table.metadata:
        return {}
    first, *exceptions = _numbers(table.metadata[default])
    changed = dict(zip(exceptions[::2], exceptions[1::2], strict=True))
    return {index: changed.get(n, first) for n, index in enumerate(indexes)}


def _labels(table: TableMap, index: int, charsets: dict[int, int], catalog: Catalog) -> tuple[str, ...]:
    kind = table.columns[index].type
    place = sum(column.type == kind for column in table.columns[:index])
    raw = _label_lists(table.metadata[ENUM_LABELS if kind == t.ENUM else SET_LABELS])[place]
    charset = catalog.charset_of(charsets[index])
    decode: TextDecoder = catalog.text_decoder(charset) if charset else lambda label: label.decode("latin-1")
    return tuple(decode(label) for label in raw)


def _label_lists(raw: bytes) -> Sequence[Sequence[bytes]]:
    lists: list[list[bytes]] = []
    at = 0
    while at < len(raw):
        count, at = lenenc(raw, at)
        labels = []
        for _ in range(count):
            size, at = lenenc(raw, at)
            label, at = _part(raw, at, size)
            labels.append(label)
        lists.append(labels)
    return lists
