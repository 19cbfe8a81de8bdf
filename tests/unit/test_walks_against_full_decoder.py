"""
The generated walks beside a decoder that shares no code with them: python-mysql-replication's, of every column.

Both are given the same bytes: a table map event and a rows event as the server writes them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pymysql.protocol import MysqlPacket
from pymysqlreplication.packet import BinLogPacketWrapper
from pymysqlreplication.row_event import TableMapEvent, UpdateRowsEvent, WriteRowsEvent

from meepo2_cdc.capture.binlog import tables as tm
from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.tables import layout_of
from tests.unit.row_writer import Kind, Value, bitmap, image, integer, key_bytes, sized

UTF8MB4, BINARY = 45, 63
TABLE_MAP, WRITE_ROWS, UPDATE_ROWS = 19, 30, 31
IN_KEYS = [
    *(
        integer(code, size, unsigned)
        for code, size in ((t.TINY, 1), (t.SHORT, 2), (t.INT24, 3), (t.LONG, 4), (t.LONGLONG, 8))
        for unsigned in (False, True)
    ),
    sized(t.VARCHAR, 40, 1, 40, "utf8mb4"),
    sized(t.VARCHAR, 3000, 2, 300, "utf8mb4"),
    sized(t.BLOB, 2, 2, 40, "utf8mb4"),
]


def _raw(code: int, meta: int, values: st.SearchStrategy[bytes]) -> Kind:
    return Kind(t.Column(code, meta), values.map(lambda raw: Value(raw, None)), in_keys=False)


def _days(year: int, month: int, day: int) -> bytes:
    return (day | month << 5 | year << 9).to_bytes(3, "little")


BESIDE = [
    *IN_KEYS,
    _raw(t.DOUBLE, 8, st.floats(allow_nan=False).map(lambda x: struct.pack("<d", x))),
    _raw(t.FLOAT, 4, st.floats(width=32, allow_nan=False).map(lambda x: struct.pack("<f", x))),
    _raw(t.YEAR, 0, st.binary(min_size=1, max_size=1)),
    _raw(t.DATE, 0, st.builds(_days, st.integers(1, 9999), st.integers(1, 12), st.integers(1, 28))),
    _raw(t.TIMESTAMP2, 0, st.binary(min_size=4, max_size=4)),
    _raw(t.TIMESTAMP2, 3, st.binary(min_size=4, max_size=4).map(lambda raw: raw + b"\0\0")),
    _raw(
        t.NEWDECIMAL, 10 << 8 | 2, st.integers(0, 99_999_999).map(lambda n: b"\x80" + n.to_bytes(4, "big")[1:] + b"\7")
    ),
    sized(t.BLOB, 4, 4, 60, None),
]
META = {t.VARCHAR: "<H", t.BLOB: "B", t.DOUBLE: "B", t.FLOAT: "B", t.TIMESTAMP2: "B"}


class Server:
    """The catalog of a server that has two collations, and the connection that the library asks for such things."""

    is_mariadb = False
    charset = "utf8mb4"

    def charset_of(self, collation: int) -> str | None:
        return {UTF8MB4: "utf8mb4", BINARY: None}[collation]

    def text_decoder(self, charset: str) -> Any:
        return bytes.decode

    def native_type(self, *_: object) -> None:
        return None

    def _get_dbms(self) -> str:
        return "mysql"


@dataclass(frozen=True)
class Events:
    """A table map and a rows event, from behind their headers; `key` are the indexes of the key's columns in order."""

    table_map: bytes
    rows: bytes
    images: int
    key: list[int]


@st.composite
def events(draw: st.DrawFn) -> Events:
    kinds = draw(st.lists(st.sampled_from(BESIDE), max_size=20))
    kinds.insert(draw(st.integers(0, len(kinds))), draw(st.sampled_from(IN_KEYS)))
    able = [index for index, kind in enumerate(kinds) if kind in IN_KEYS]
    key = draw(st.lists(st.sampled_from(able), min_size=1, max_size=3, unique=True))
    images = draw(st.sampled_from((1, 2)))
    body = b""
    for _ in range(draw(st.integers(1, 6)) * images):
        values = [draw(kind.values if index in key else st.none() | kind.values) for index, kind in enumerate(kinds)]
        body += image(values, spare=draw(st.booleans()))
    present = bitmap([True] * len(kinds), spare=True) * images
    front = b"\7\0\0\0\0\0" + b"\1\0" + b"\2\0" + bytes((len(kinds),)) + present
    return Events(_table_map(kinds, key), front + body, images, key)


def _table_map(kinds: list[Kind], key: list[int]) -> bytes:
    types = bytes(kind.column.type for kind in kinds)
    meta = b"".join(_meta(kind) for kind in kinds)
    numeric = [kind.unsigned for kind in kinds if kind.column.type in t.NUMERIC]
    characters = [kind for kind in kinds if kind.column.type in t.CHARACTER | t.BLOBS]
    optional = {
        tm.SIGNEDNESS: _highest_first(numeric),
        tm.COLUMN_CHARSET: bytes(UTF8MB4 if kind.charset else BINARY for kind in characters),
        tm.COLUMN_NAME: b"".join(b"%c%b" % (len(name), name) for name in (b"c%d" % n for n in range(len(kinds)))),
        tm.SIMPLE_KEY: bytes(key),
    }
    body = b"\1\0" + b"\1s\0" + b"\1t\0" + bytes((len(kinds),)) + types + _lenenc(meta) + bytes((len(kinds) + 7) // 8)
    return body + b"".join(bytes((code,)) + _lenenc(raw) for code, raw in optional.items() if raw)


def _meta(kind: Kind) -> bytes:
    code, meta = kind.column.type, kind.column.meta
    if code == t.NEWDECIMAL:
        return bytes((meta >> 8, meta & 255))
    return struct.pack(META[code], meta) if code in META else b""


def _highest_first(bits: list[bool]) -> bytes:
    padded = [*bits, *[False] * (-len(bits) % 8)]
    return bytes(sum(bit << (7 - n) for n, bit in enumerate(padded[at : at + 8])) for at in range(0, len(padded), 8))


def _lenenc(raw: bytes) -> bytes:
    return (bytes((len(raw),)) if len(raw) < 251 else b"\xfc" + len(raw).to_bytes(2, "little")) + raw


def _walked(found: Events) -> list[bytes]:
    layout = layout_of(found.table_map, Server())  # type: ignore[arg-type]
    columns = len(layout.columns)
    at = 11 + (columns + 7) // 8 * found.images
    walker = layout.walker(found.rows[11:at], found.images)
    return walker.keys(found.rows, at, len(found.rows))


def _decoded(found: Events) -> list[bytes]:
    known: dict[int, Any] = {}
    _event(TABLE_MAP, b"\7\0\0\0\0\0" + found.table_map, known)
    event = _event(WRITE_ROWS if found.images == 1 else UPDATE_ROWS, found.rows, known)
    names = [f"c{index}" for index in found.key]
    kept = ("values",) if found.images == 1 else ("before_values", "after_values")
    return [key_bytes([_part(row[one][name]) for name in names]) for row in event.rows for one in kept]


def _part(value: Any) -> Any:
    return str(value) if isinstance(value, int) and value >= 1 << 63 else value


def _event(kind: int, body: bytes, known: dict[int, Any]) -> Any:
    checksum = b"\0\0\0\0"
    size = 19 + len(body) + len(checksum)
    header = struct.pack("<IBIIIH", 0, kind, 1, size, 0, 0)
    wrapper = BinLogPacketWrapper(
        MysqlPacket(b"\0" + header + body + checksum, "utf8mb4"),
        known,
        Server(),
        (8, 0, 33),
        True,
        {TableMapEvent, WriteRowsEvent, UpdateRowsEvent},
        *[None] * 4,
        False,
        False,
        False,
        True,
        False,
    )
    if kind == TABLE_MAP:
        known[wrapper.event.table_id] = wrapper.event.get_table()
    return wrapper.event


@given(events())
def test_the_walk_takes_the_keys_that_a_full_decoder_finds(found: Events):
    """A walk that is a byte off takes keys out of other columns, and every one of them looks like a key."""
    assert _walked(found) == _decoded(found)
