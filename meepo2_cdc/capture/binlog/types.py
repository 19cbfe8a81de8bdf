"""
Column types as a table-map event spells them, and how many bytes a value takes in a row.

Source: MySQL include/field_types.h and libbinlogevents Table_map_event; MariaDB sql/field.h for 140 and 141.
"""

from __future__ import annotations

from typing import NamedTuple

TINY, SHORT, LONG, FLOAT, DOUBLE, NULL, TIMESTAMP, LONGLONG, INT24 = range(1, 10)
DATE, TIME, DATETIME, YEAR, NEWDATE, VARCHAR, BIT, TIMESTAMP2, DATETIME2, TIME2 = range(10, 20)
BLOB_COMPRESSED, VARCHAR_COMPRESSED = 140, 141
VECTOR, JSON, NEWDECIMAL, ENUM, SET = 242, 245, 246, 247, 248
TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB, VAR_STRING, STRING, GEOMETRY = range(249, 256)

BLOBS = frozenset((TINY_BLOB, MEDIUM_BLOB, LONG_BLOB, BLOB, BLOB_COMPRESSED))
CHARACTER = frozenset((VARCHAR, VAR_STRING, STRING, VARCHAR_COMPRESSED))
NUMERIC = frozenset((TINY, SHORT, INT24, LONG, LONGLONG, NEWDECIMAL, FLOAT, DOUBLE, YEAR))

_FIXED = {
    TINY: 1, SHORT: 2, INT24: 3, LONG: 4, LONGLONG: 8, FLOAT: 4, DOUBLE: 8, NULL: 0,
    YEAR: 1, DATE: 3, NEWDATE: 3, TIME: 3, DATETIME: 8, TIMESTAMP: 4,
}  # fmt: skip
_WITH_FRACTION = {TIMESTAMP2: 4, DATETIME2: 5, TIME2: 3}
_LENGTH_IN_FRONT = BLOBS | {JSON, GEOMETRY, VECTOR}

# how many bytes of metadata a type has in a table-map event
META_BYTES = {
    FLOAT: 1, DOUBLE: 1, TIMESTAMP2: 1, DATETIME2: 1, TIME2: 1, BLOB: 1, TINY_BLOB: 1, MEDIUM_BLOB: 1, LONG_BLOB: 1,
    JSON: 1, GEOMETRY: 1, VECTOR: 1, BLOB_COMPRESSED: 1, VARCHAR: 2, VAR_STRING: 2, VARCHAR_COMPRESSED: 2,
    STRING: 2, ENUM: 2, SET: 2, NEWDECIMAL: 2, BIT: 2,
}  # fmt: skip
KNOWN = frozenset(_FIXED) | META_BYTES.keys()


class Column(NamedTuple):
    """
    A column's type and what its size depends on.

    `meta`: declared bytes of CHAR, VARCHAR and their like; bytes of the length in front of BLOB and its like; stored
    bytes of ENUM and SET; bits of BIT; digits of the fraction of TIME, DATETIME, TIMESTAMP; precision * 256 + scale of
    DECIMAL; else 0.
    """

    type: int
    meta: int


def fixed_size(column: Column) -> int | None:
    """Bytes of a value, or None where the value has its length in front."""
    kind, meta = column
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _WITH_FRACTION:
        return _WITH_FRACTION[kind] + (meta + 1) // 2
    if kind == NEWDECIMAL:
        return decimal_bytes(meta)
    if kind == BIT:
        return (meta + 7) // 8
    return meta if kind in (ENUM, SET) else None


def length_bytes(column: Column) -> int:
    """Bytes of the length in front of a value that has no fixed size."""
    if column.type in _LENGTH_IN_FRONT:
        return column.meta
    return 1 if column.meta < 256 else 2


def decimal_bytes(meta: int) -> int:
    precision, scale = divmod(meta, 256)
    return decimal_part_bytes(precision - scale) + decimal_part_bytes(scale)


def decimal_part_bytes(digits: int) -> int:
    """Nine digits take four bytes, the rest as few as hold them."""
    full, rest = divmod(digits, 9)
    return full * 4 + (rest + 1) // 2


def unpack_meta(kind: int, raw: bytes) -> Column:
    """A table-map event's type code and its metadata bytes."""
    if kind == STRING:
        # the upper byte holds the real type and, inverted, two more bits of the length
        real, low = raw[0], raw[1]
        if real & 0x30 != 0x30:
            return Column(real | 0x30, low | ((real & 0x30) ^ 0x30) << 4)
        return Column(real, low)
    if kind == NEWDECIMAL:
        return Column(kind, raw[0] << 8 | raw[1])
    if kind == BIT:
        return Column(kind, raw[1] * 8 + raw[0])
    return Column(kind, int.from_bytes(raw, "little"))
