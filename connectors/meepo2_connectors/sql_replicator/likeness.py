"""
Whether a value that the target has is the one that was to be written.

Most are equal as they are.  Of the others each kind of column has its own reading: a REAL keeps less digits of the same
number, JSON is spelled otherwise, and what is text in the one may be a number or a time in the other.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql as pg

from meepo2_connectors.sql_replicator.values import as_text

Alike = Callable[[Any, Any], bool]


class Likeness:
    """Of rows with the values of `columns`."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._names = columns
        self._alike = [_alike(table.columns[name]) for name in columns]

    def unlike(self, wanted: Sequence[Any], found: Sequence[Any]) -> list[str]:
        """The columns whose values differ."""
        rows = zip(self._names, self._alike, wanted, found, strict=True)
        return [name for name, alike, one, other in rows if not _same(alike, one, other)]


def _same(alike: Alike, wanted: Any, found: Any) -> bool:
    if wanted == found:
        return True
    return wanted is not None and found is not None and alike(wanted, found)


def _alike(column: Column[Any]) -> Alike:
    kind = column.type
    if isinstance(kind, sql.JSON):
        return _alike_json
    if isinstance(kind, sql.REAL | mysql.FLOAT):
        return lambda wanted, found: _single(wanted) == _single(found)
    if isinstance(kind, sql.CHAR | pg.CHAR):
        return lambda wanted, found: str(wanted).rstrip(" ") == str(found).rstrip(" ")
    return _alike_plain


def _alike_plain(wanted: Any, found: Any) -> bool:
    one, other = _plain(wanted), _plain(found)
    if one == other:
        return True
    if isinstance(one, bytes) or isinstance(other, bytes):
        return False
    if _is_number(one) != _is_number(other):
        return _same_number(str(one), str(other))
    return as_text(one) == as_text(other)


def _alike_json(wanted: Any, found: Any) -> bool:
    try:
        return bool(_meaning(wanted) == _meaning(found))
    except ValueError:
        return False


def _meaning(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str | bytes) else value


def _single(value: Any) -> bytes | None:
    """As a number of 32 bits; None for what is none."""
    try:
        return struct.pack("f", float(value))
    except (ValueError, TypeError, OverflowError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, time):
        return timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return value if isinstance(value, _KNOWN) else str(value)


_KNOWN = (str, bytes, int, float, Decimal, date, timedelta)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal)


def _same_number(one: str, other: str) -> bool:
    """A number, and the text of one."""
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False
