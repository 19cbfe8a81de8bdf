"""
Table-map events, written here by the manual, as layouts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.capture.binlog import tables
from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, TextDecoder
from meepo2_cdc.capture.binlog.tables import TableMap, layout_of, names_of, read_table_map
from meepo2_cdc.errors import UnreadableData
from tests.unit.row_writer import Value, image, key_bytes

LATIN1, UTF8MB4, BINARY, UTF16 = 8, 255, 63, 54
NAMES = {LATIN1: "latin1", UTF8MB4: "utf8mb4", UTF16: "utf-16-be", BINARY: None}


class Answers:
    """A catalog that knows what it was told; asked for more, the test fails."""

    def __init__(self, key: tuple[KeyColumn, ...] | None = None, *, is_mariadb: bool = False) -> None:
        self._key = key
        self.is_mariadb = is_mariadb

    def charset_of(self, collation: int) -> str | None:
        return NAMES[collation]

    def text_decoder(self, charset: str) -> TextDecoder:
        return lambda raw: raw.decode({"utf8mb4": "utf-8"}.get(charset, charset))

    def key_columns(self, table: TableMap) -> tuple[KeyColumn, ...]:
        assert self._key is not None, "the event says what the key is"
        return self._key

    def native_type(self, table: TableMap, column: int) -> str | None:
        return None

    def definition_changed(self, schema: str, statement: str, began_s: int, ended_s: float) -> None:
        raise AssertionError


def lenenc(n: int) -> bytes:
    if n < 251:
        return bytes((n,))
    return b"\xfc" + n.to_bytes(2, "little") if n < 1 << 16 else b"\xfd" + n.to_bytes(3, "little")


def field(code: int, body: bytes) -> bytes:
    return bytes((code,)) + lenenc(len(body)) + body


def numbers(values: Iterable[int]) -> bytes:
    return b"".join(map(lenenc, values))


def labels(*columns: Sequence[bytes]) -> bytes:
    return b"".join(lenenc(len(one)) + b"".join(lenenc(len(label)) + label for label in one) for one in columns)


def signs(*unsigned: bool) -> bytes:
    """The highest bit first."""
    padded = [*unsigned, *[False] * (-len(unsigned) % 8)]
    return sum(bit << 7 - n % 8 << 8 * (len(padded) // 8 - 1 - n // 8) for n, bit in enumerate(padded)).to_bytes(
        len(padded) // 8, "big"
    )


def body(columns: Sequence[tuple[int, bytes]], *fields: bytes, schema: str = "shop", table: str = "orders") -> bytes:
    """A table map from behind its table id: flags, names, types, metadata, nullability, optional fields."""
    names = b"".join(bytes((len(name.encode()),)) + name.encode() + b"\0" for name in (schema, table))
    kinds = bytes(kind for kind, _ in columns)
    meta = b"".join(one for _, one in columns)
    nullable = bytes((len(columns) + 7) // 8)
    return b"\1\0" + names + lenenc(len(columns)) + kinds + lenenc(len(meta)) + meta + nullable + b"".join(fields)


def full(columns: Sequence[tuple[int, bytes]], key: Sequence[int], *fields: bytes) -> bytes:
    """With what FULL metadata always has: names, and the key."""
    named = field(tables.COLUMN_NAME, b"".join(b"\1" + bytes((97 + n % 26,)) for n in range(len(columns))))
    return body(columns, *fields, named, field(tables.SIMPLE_KEY, numbers(key)))


INT, BIGINT, YEAR, BIT = (t.LONG, b""), (t.LONGLONG, b""), (t.YEAR, b""), (t.BIT, b"\3\0")
FLOAT, DECIMAL, POINT, VECTOR = (t.FLOAT, b"\4"), (t.NEWDECIMAL, b"\5\1"), (t.GEOMETRY, b"\4"), (t.VECTOR, b"\4")
TEXT, CHAR = (t.VARCHAR, b"\x28\0"), (t.STRING, b"\xfe\x28")


def keys(layout: tables.TableLayout, *values: bytes) -> list[bytes]:
    present = ((1 << len(values)) - 1).to_bytes((len(values) + 7) // 8, "little")
    row = image([Value(raw, None) for raw in values])
    return layout.walker(present, 1).keys(row, 0, len(row))


@pytest.mark.parametrize(
    ("schema", "table"), [("shop", "orders"), ("größe", "a.b c`d"), ("s" * 64, "é" * 64), ("表" * 64, "x")]
)
def test_names_are_read_whatever_they_are(schema: str, table: str):
    """A table under a wrong name goes to another topic, or none."""
    raw = body([INT], schema=schema, table=table)
    assert names_of(raw) == (schema, table)
    assert (read_table_map(raw).schema, read_table_map(raw).table) == (schema, table)


def test_every_type_has_its_size():
    """One column that is read too wide moves every key behind it."""
    declared = {
        (t.TINY, b""): 1,
        (t.SHORT, b""): 2,
        (t.INT24, b""): 3,
        (t.LONG, b""): 4,
        (t.LONGLONG, b""): 8,
        (t.YEAR, b""): 1,
        (t.FLOAT, b"\4"): 4,
        (t.DOUBLE, b"\x08"): 8,
        (t.DATE, b""): 3,
        (t.TIME, b""): 3,
        (t.DATETIME, b""): 8,
        (t.TIMESTAMP, b""): 4,
        (t.TIME2, b"\0"): 3,
        (t.TIME2, b"\1"): 4,
        (t.TIME2, b"\6"): 6,
        (t.DATETIME2, b"\0"): 5,
        (t.DATETIME2, b"\3"): 7,
        (t.TIMESTAMP2, b"\0"): 4,
        (t.TIMESTAMP2, b"\6"): 7,
        (t.NEWDECIMAL, b"\x0a\2"): 5,
        (t.NEWDECIMAL, b"\x41\x1e"): 30,
        (t.NEWDECIMAL, b"\1\1"): 1,
        (t.BIT, b"\1\0"): 1,
        (t.BIT, b"\0\1"): 1,
        (t.BIT, b"\7\7"): 8,
        (t.BIT, b"\0\x08"): 8,
        (t.STRING, b"\xf7\1"): 1,
        (t.STRING, b"\xf7\2"): 2,
        (t.STRING, b"\xf8\1"): 1,
        (t.STRING, b"\xf8\x08"): 8,
        (t.VARCHAR, b"\xff\0"): None,
        (t.STRING, b"\xfe\x28"): None,
        (t.BLOB, b"\2"): None,
        (t.JSON, b"\4"): None,
    }
    found = read_table_map(body(list(declared))).columns
    assert [t.fixed_size(column) for column in found] == list(declared.values())


@pytest.mark.parametrize(
    ("meta", "declared", "width"),
    [(b"\xfe\x0a", 10, 1), (b"\xfe\xff", 255, 1), (b"\xee\x00", 256, 2), (b"\xce\xfc", 1020, 2), (b"\xde\x58", 600, 2)],
)
def test_the_length_of_a_char_of_more_than_255_bytes_is_put_together(meta: bytes, declared: int, width: int):
    """Two bits of it hide in the type (MySQL sql/field.cc, Field_string::do_save_field_metadata)."""
    (column,) = read_table_map(body([(t.STRING, meta)])).columns
    assert (column.type, column.meta, t.length_bytes(column)) == (t.STRING, declared, width)


@pytest.mark.parametrize("count", [1, 250, 251, 300, 1017])
def test_tables_of_any_width_are_read(count: int):
    """Counts of more than 250 take three bytes."""
    layout = layout_of(full([INT] * count, [count - 1]), Answers())
    values = [n.to_bytes(4, "little") for n in range(count)]
    assert keys(layout, *values) == [key_bytes([count - 1])]


def test_the_key_comes_in_its_own_order():
    """(1, 7) and (7, 1) are two seats."""
    layout = layout_of(full([INT, INT, INT], [2, 0]), Answers())
    assert keys(layout, b"\1\0\0\0", b"\2\0\0\0", b"\3\0\0\0") == [key_bytes([3, 1])]


def test_a_key_over_the_beginning_of_columns_is_the_whole_columns():
    """The log says how long the beginnings are; no row is found by them."""
    raw = body(
        [TEXT, INT],
        field(tables.DEFAULT_CHARSET, numbers([UTF8MB4])),
        field(tables.COLUMN_NAME, b"\1a\1b"),
        field(tables.PREFIX_KEY, numbers([1, 0, 0, 3])),
    )
    assert keys(layout_of(raw, Answers()), b"\5lange", b"\5\0\0\0") == [key_bytes([5, "lange"])]


def test_a_table_without_a_key_has_none():
    """Its rows cannot be named; whoever reads them must be told."""
    assert layout_of(body([INT], field(tables.COLUMN_NAME, b"\1a")), Answers()).key == ()


def test_signs_are_counted_over_numbers_and_years():
    """Seen on MySQL 8.0, 9.7 and MariaDB 10.11: YEAR has a bit, BIT and all others have none."""
    columns = [YEAR, TEXT, FLOAT, BIT, DECIMAL, INT, YEAR, INT, BIGINT, BIGINT, INT]
    sign_bits = signs(True, False, False, False, True, True, False, True, True)
    raw = full(
        columns,
        [5, 7, 8, 9, 10],
        field(tables.SIGNEDNESS, sign_bits),
        field(tables.DEFAULT_CHARSET, numbers([UTF8MB4])),
    )
    ones = b"\xff" * 8
    values = [b"\1", b"\1x", b"\0" * 4, b"\1", b"\x80\0\0", ones[:4], b"\1", ones[:4], ones, ones, ones[:4]]
    got = keys(layout_of(raw, Answers()), *values)
    assert got == [key_bytes([-1, 4294967295, -1, str((1 << 64) - 1), 4294967295])]


@pytest.mark.parametrize("is_mariadb", [False, True])
def test_character_sets_are_counted_over_text_vectors_and_on_mariadb_geometry(is_mariadb: bool):
    """A list that is off by one reads a key in another column's character set."""
    columns = [POINT, VECTOR, TEXT, INT, CHAR]
    collations = [*[BINARY] * is_mariadb, BINARY, UTF8MB4, LATIN1]
    exceptions = [n for pair in enumerate(collations) for n in pair if pair[1] != UTF8MB4]
    each = field(tables.COLUMN_CHARSET, numbers(collations))
    default = field(tables.DEFAULT_CHARSET, numbers([UTF8MB4, *exceptions]))
    for charsets in (each, default):
        layout = layout_of(full(columns, [2, 4], charsets), Answers(is_mariadb=is_mariadb))
        got = keys(layout, b"\0" * 4, b"\0" * 4, b"\2\xc3\xa9", b"\0" * 4, b"\1\xe9")
        assert got == [key_bytes(["é", "é"])]


def test_labels_are_those_of_their_own_column_in_its_own_character_set():
    """ENUMs and SETs have a list each, and a list of character sets together."""
    columns = [(t.STRING, b"\xf7\1"), (t.STRING, b"\xf8\1"), (t.STRING, b"\xf7\1"), (t.STRING, b"\xf8\1")]
    many = [f"n{n}".encode() for n in range(300)]
    raw = full(
        columns,
        [0, 1, 2, 3],
        field(tables.ENUM_LABELS, labels([b"\xe9", b"b"], many)),
        field(tables.SET_LABELS, labels([b"x", b"y"], ["é".encode("utf-16-be")])),
        field(tables.LABEL_COLUMN_CHARSET, numbers([LATIN1, UTF8MB4, UTF8MB4, UTF16])),
    )
    assert keys(layout_of(raw, Answers()), b"\1", b"\3", b"\xff", b"\1") == [key_bytes(["é", "x,y", "n254", "é"])]


def test_without_its_key_in_the_log_the_catalog_is_asked_and_the_log_believed_where_it_speaks():
    """The definition is of now; sign and character set in the event are of then."""
    raw = body([INT, TEXT], field(tables.SIGNEDNESS, signs(True)), field(tables.DEFAULT_CHARSET, numbers([LATIN1])))
    now = (KeyColumn(1, charset="utf8mb4"), KeyColumn(0, unsigned=False))
    assert keys(layout_of(raw, Answers(now)), b"\xff" * 4, b"\1\xe9") == [key_bytes(["é", 4294967295])]


def test_without_any_metadata_the_catalog_alone_is_believed():
    """MariaDB's default: neither signs nor character sets."""
    now = (KeyColumn(1, charset="latin1"), KeyColumn(0, unsigned=True))
    assert keys(layout_of(body([INT, TEXT]), Answers(now)), b"\xff" * 4, b"\1\xe9") == [key_bytes(["é", 4294967295])]


@pytest.mark.parametrize("kind", [20, 100, 139, 142, 241, 243, 244])
def test_a_type_that_is_not_known_is_refused_by_its_number(kind: int):
    """Its size is not known, so nothing behind it can be read."""
    with pytest.raises(UnreadableData, match=f"column 2 of shop.orders has the binlog type {kind}"):
        layout_of(full([INT, (kind, b"")], [0]), Answers())


WHOLE = full(
    [INT, TEXT, YEAR, (t.STRING, b"\xf7\1")],
    [3, 1, 0],
    field(tables.SIGNEDNESS, signs(True, False)),
    field(tables.DEFAULT_CHARSET, numbers([UTF8MB4])),
    field(tables.ENUM_LABELS, labels([b"a", b"b"])),
    field(tables.LABEL_DEFAULT_CHARSET, numbers([UTF8MB4])),
)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_table_map_that_ends_too_early_is_refused_or_lacks_whole_fields(cut: int):
    """Anything but UnreadableData would be a fault of the program."""
    try:
        layout = layout_of(WHOLE[:cut], Answers((KeyColumn(0),)))
    except UnreadableData:
        return
    assert WHOLE[cut - 1 :][:1]
    assert len(layout.columns) == 4


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_damaged_table_map_is_a_layout_or_refused(at: int, byte: int):
    """As above: the process must be able to say what it found."""
    damaged = WHOLE[:at] + bytes((byte,)) + WHOLE[at + 1 :]
    try:
        layout = layout_of(damaged, Lenient((KeyColumn(0),)))
    except UnreadableData:
        return
    assert len(layout.columns) > 0


class Lenient(Answers):
    """Answers about any collation, as the real catalog does: by a refusal."""

    def charset_of(self, collation: int) -> str | None:
        if collation not in NAMES:
            raise UnreadableData(f"the log names collation number {collation}")
        return NAMES[collation]
