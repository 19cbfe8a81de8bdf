"""
One key column as a SELECT gives it: the part of a record's key, and the literal that stands for it in SQL.

The bytes of a part are those that the log's path makes of the same value (binlog/keyparts.py); a test holds both
equal.  Values are taken as the server sends them without conversion: text in the column's own character set, times in
UTC.  A literal never holds bytes that were not checked: it is digits, or hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.definitions import Column
from meepo2_cdc.capture.binlog.keyparts import KEY_PART_LIMIT_BYTES, PartDecoder, TextDecoder, part_decoder
from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import wire

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_INTEGERS = (t.TINY, t.SHORT, t.INT24, t.LONG, t.LONGLONG)


@dataclass(frozen=True, slots=True)
class KeyText:
    """
    `select` is the value in SQL, and `place` what `column` is compared by, where that is another; `part` makes the
    key's part of the value, and `literal` what the column is compared with of the value of `place`.
    """

    column: str
    select: str
    part: PartDecoder
    literal: Callable[[bytes], str]
    place: str | None = None
    is_integer: bool = False


def key_text(column: Column, text: Callable[[str], TextDecoder]) -> KeyText:
    """Raises UnreadableData for a type that no key can be read from."""
    name = quoted(column.name)
    if column.key.native is not None:
        return KeyText(name, name, wire.utf8_part, _plain)
    if column.log_type is None:
        raise UnreadableData(f"its key column {column.name} is {column.declared}, which is not read as a key")
    kind = column.log_type.type
    if kind in _INTEGERS:
        return KeyText(name, name, lambda raw: wire.long_part(int(raw)), _number, is_integer=True)
    if kind in (t.ENUM, t.SET):
        number = f"CAST({name} AS UNSIGNED)"
        all_bits = kind == t.SET and column.log_type.meta == 8  # taken for negative, where it is not cast
        return KeyText(number if all_bits else name, name, _text(column, text), _number, place=number)
    if kind in (t.FLOAT, t.DOUBLE):
        # as a double it is shown with all its digits
        return KeyText(name, f"{name} + 0e0", lambda raw: wire.double_part(float(raw)), _double)
    if kind == t.BIT:
        return KeyText(name, name, wire.bytes_part, lambda raw: str(int.from_bytes(raw, "big")))
    if kind == t.YEAR:
        if column.declared.startswith("year(2)"):
            raise UnreadableData(f"its key column {column.name} is YEAR(2), which does not show its century")
        return KeyText(name, name, lambda raw: wire.long_part(int(raw)), _number)
    if kind == t.NEWDECIMAL:
        return KeyText(name, name, _decimal, _number)
    if kind in _TIMES:
        return KeyText(name, name, _TIMES[kind], _plain)
    literal = _hex if column.key.charset is None else _introduced(column.key.charset)
    select = f"LEFT({name}, {KEY_PART_LIMIT_BYTES + 1})" if kind in t.BLOBS else name  # what is longer is refused
    return KeyText(name, select, _text(column, text), literal)


def quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _text(column: Column, text: Callable[[str], TextDecoder]) -> PartDecoder:
    """Characters and bytes are in a result what they are in a row of the log, labels too; BINARY has its full width."""
    kind = column.log_type.type if column.log_type is not None else t.VARCHAR
    if kind in t.BLOBS:
        return part_decoder(t.Column(t.BLOB, 2), column.key, text)
    return part_decoder(t.Column(t.VARCHAR, 0), column.key, text)


def _decimal(raw: bytes) -> bytes:
    """As the log's digits: without the zeros of ZEROFILL."""
    digits = raw.lstrip(b"0") if raw[:1] == b"0" else raw
    return wire.utf8_part(digits if digits[:1].isdigit() or digits[:1] == b"-" else b"0" + digits)


def _moment(raw: bytes) -> bytes:
    return wire.utf8_part(raw.replace(b" ", b"T", 1))


def _instant(raw: bytes) -> bytes:
    return wire.utf8_part(raw.replace(b" ", b"T", 1) + (b"" if raw.startswith(b"0000") else b"Z"))


_TIMES: dict[int, PartDecoder] = {
    t.DATE: wire.utf8_part,
    t.TIME2: wire.utf8_part,
    t.DATETIME2: _moment,
    t.TIMESTAMP2: _instant,
}


# -- literals


def _number(raw: bytes) -> str:
    if not _NUMBER.fullmatch(raw):
        raise UnreadableData("a number of a key is not spelled as one")
    return raw.decode()


def _double(raw: bytes) -> str:
    number = _number(raw)
    return number if "e" in number else f"{number}e0"  # without an exponent it would be a DECIMAL


def _plain(raw: bytes) -> str:
    """A time or an address."""
    if not re.fullmatch(rb"[0-9a-f:. -]+", raw):
        raise UnreadableData("a time of a key is not spelled as one")
    return f"'{raw.decode()}'"


def _hex(raw: bytes) -> str:
    return f"X'{raw.hex()}'"


def _introduced(charset: str) -> Callable[[bytes], str]:
    """Compared by the column's collation, which goes before that of a literal."""
    return lambda raw: f"_{charset} X'{raw.hex()}'"
