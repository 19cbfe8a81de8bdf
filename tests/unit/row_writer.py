"""
Rows as the servers write them, by the manual and not by our reader: for tests of what reads them.

Source: MySQL documentation, "Rows_event" and "Table_map_event"; the primary key's bytes come from fastavro.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
from hypothesis import strategies as st

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, part_decoder
from meepo2_cdc.capture.binlog.tables import TableLayout

PK_SCHEMA = fastavro.parse_schema({"type": "array", "items": ["long", "double", "string", "bytes"]})


@dataclass(frozen=True)
class Value:
    """A value as the row has it, and as the key has it."""

    raw: bytes
    part: Any


@dataclass(frozen=True)
class Kind:
    """A column for tests: how it is declared in the table map, what it may hold, what a key must know of it."""

    column: t.Column
    values: st.SearchStrategy[Value]
    unsigned: bool = False
    charset: str | None = None
    in_keys: bool = True


def integer(code: int, size: int, unsigned: bool) -> Kind:
    low, high = (0, (1 << 8 * size) - 1) if unsigned else (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1)
    edges = st.sampled_from([n for n in (low, high, 0, 1, -1, 63, 64, 8191, 8192) if low <= n <= high])
    values = (edges | st.integers(low, high)).map(
        lambda n: Value(n.to_bytes(size, "little", signed=not unsigned), n if n < 1 << 63 else str(n))
    )
    return Kind(t.Column(code, 0), values, unsigned=unsigned)


def sized(code: int, meta: int, width: int, longest: int, charset: str | None) -> Kind:
    """Text or bytes with `width` bytes of length in front."""

    def value(content: Any) -> Value:
        raw = content.encode() if charset else content
        return Value(len(raw).to_bytes(width, "little") + raw, content)

    contents: st.SearchStrategy[Any] = st.binary(max_size=longest)
    if charset:
        contents = st.text(st.characters(exclude_categories=("Cs",)), max_size=longest // 4)
    return Kind(t.Column(code, meta), contents.map(value), charset=charset)


def passed(code: int, meta: int, size: int) -> Kind:
    """A column that stands in no key here, of fixed size."""
    return Kind(
        t.Column(code, meta), st.binary(min_size=size, max_size=size).map(lambda raw: Value(raw, None)), in_keys=False
    )


KINDS = [
    *(
        integer(code, size, unsigned)
        for code, size in ((t.TINY, 1), (t.SHORT, 2), (t.INT24, 3), (t.LONG, 4), (t.LONGLONG, 8))
        for unsigned in (False, True)
    ),
    sized(t.VARCHAR, 40, 1, 40, "utf8mb4"),
    sized(t.VARCHAR, 255, 1, 40, None),
    sized(t.VARCHAR, 256, 2, 40, "utf8mb4"),
    sized(t.VARCHAR, 3000, 2, 300, None),
    sized(t.STRING, 1020, 2, 40, "utf8mb4"),
    *(sized(t.BLOB, width, width, 40, None) for width in (1, 2, 3, 4)),
    Kind(t.Column(t.DOUBLE, 8), st.floats(allow_nan=False).map(lambda x: Value(struct.pack("<d", x), x))),
    Kind(t.Column(t.FLOAT, 4), st.floats(width=32, allow_nan=False).map(lambda x: Value(struct.pack("<f", x), x))),
    Kind(t.Column(t.BIT, 17), st.binary(min_size=3, max_size=3).map(lambda raw: Value(raw, raw))),
    Kind(t.Column(t.YEAR, 0), st.integers(1901, 2155).map(lambda n: Value(bytes((n - 1900,)), n))),
    passed(t.DATE, 0, 3),
    passed(t.NEWDECIMAL, 10 << 8 | 2, 5),
    passed(t.NEWDECIMAL, 65 << 8 | 30, 30),
    passed(t.DATETIME2, 3, 7),
    passed(t.TIMESTAMP2, 0, 4),
    passed(t.TIME2, 6, 6),
    passed(t.ENUM, 2, 2),
    passed(t.SET, 8, 8),
    passed(t.DATETIME, 0, 8),
    *(
        Kind(t.Column(code, 4), sized(code, 4, 4, 60, None).values, in_keys=False)
        for code in (t.JSON, t.GEOMETRY, t.VECTOR)
    ),
]


def layout(kinds: Sequence[Kind], key: Sequence[int]) -> TableLayout:
    """`key` holds indexes of columns, in key order."""

    def decoder(index: int) -> Any:
        kind = kinds[index]
        return part_decoder(kind.column, KeyColumn(index, kind.unsigned, kind.charset), lambda _: bytes.decode)

    parts = tuple((index, kinds[index].unsigned, decoder(index)) for index in key)
    return TableLayout("s", "t", tuple(kind.column for kind in kinds), parts)


def bitmap(bits: Sequence[bool], spare: bool) -> bytes:
    """The lowest bit first; `spare` fills the last byte, which the servers leave as it comes."""
    padded = [*bits, *[spare] * (-len(bits) % 8)]
    return sum(bit << n for n, bit in enumerate(padded)).to_bytes(len(padded) // 8, "little")


def image(values: Sequence[Value | None], spare: bool = True) -> bytes:
    """Nulls, then what is not null, of the columns that are present."""
    return bitmap([value is None for value in values], spare) + b"".join(
        value.raw for value in values if value is not None
    )


def key_bytes(parts: Sequence[Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PK_SCHEMA, list(parts))
    return out.getvalue()
