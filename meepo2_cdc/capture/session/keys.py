"""
Values of mapped key columns as the parts of a record's key.

The forms are those of docs/types.md, so that a row has the same key here and in the binlog.  Here the values are those
of Python objects before they were stored: an Enum's member, a TypeDecorator's own class, a Decimal with fewer digits
than its column.  What the column makes of them is done first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Dialect, TypeDecorator
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql

from meepo2_cdc.records import KeyPart

Part = Callable[[Any], KeyPart]
_LONG = 1 << 63


def key_part(column: Column[Any], dialect: Dialect) -> Part:
    """What makes a part of a value of the column; it raises ValueError for a NULL."""
    part = _of_type(column.type, dialect)

    def checked(value: Any) -> KeyPart:
        if value is None:
            raise ValueError(f"the key column {column} holds NULL")
        return part(value)

    return checked


def _of_type(kind: sql.TypeEngine[Any], dialect: Dialect) -> Part:
    if isinstance(kind, TypeDecorator):
        return _decorated(kind, dialect)
    for types, make in _PARTS:
        if isinstance(kind, types):
            return make(kind, dialect)
    return _plain


def _decorated(kind: TypeDecorator[Any], dialect: Dialect) -> Part:
    inner = _of_type(kind.type_engine(dialect), dialect)

    def part(value: Any) -> KeyPart:
        try:
            return inner(kind.process_bind_param(value, dialect))
        except NotImplementedError:  # it changes only what comes back
            return inner(value)

    return part


def _number(value: Any) -> KeyPart:
    number = int(value)
    return number if number < _LONG else str(number)


def _decimal(kind: Any, _: Dialect) -> Part:
    if kind.scale is None:
        return lambda value: format(Decimal(str(value)), "f")
    unit = Decimal(1).scaleb(-kind.scale)
    return lambda value: format(Decimal(str(value)).quantize(unit), "f")


def _enum(kind: Any, dialect: Dialect) -> Part:
    stored = kind.bind_processor(dialect) or str
    return lambda value: str(stored(value))


def _set(_kind: Any, _: Dialect) -> Part:
    return lambda value: value if isinstance(value, str) else ",".join(sorted(value, key=_kind.values.index))


def _uuid(_kind: Any, dialect: Dialect) -> Part:
    native = _kind.native_uuid and dialect.supports_native_uuid
    return lambda value: str(value) if native else str(value).replace("-", "")


def _text(_kind: Any, _: Dialect) -> Part:
    return lambda value: value if isinstance(value, str) else _plain(value)


def _bits(kind: Any, _: Dialect) -> Part:
    width = ((kind.length or 1) + 7) // 8
    return lambda value: value if isinstance(value, bytes) else int(value).to_bytes(width, "big")


def _moment(kind: Any, dialect: Dialect) -> Part:
    on_mysql = dialect.name in ("mysql", "mariadb")
    digits = (getattr(kind, "fsp", None) or 0) if on_mysql else None
    zone = "Z" if isinstance(kind, mysql.TIMESTAMP) or (on_mysql and isinstance(kind, sql.TIMESTAMP)) else ""
    return lambda value: _moment_text(value, digits, zone) if isinstance(value, datetime) else _plain(value)


def _moment_text(moment: datetime, digits: int | None, zone: str) -> str:
    """MySQL rounds a fraction to the digits of its column."""
    if moment.tzinfo is not None:
        moment, zone = moment.astimezone(UTC).replace(tzinfo=None), "Z"
    if digits is None:
        digits = 6 * (moment.microsecond > 0)
    else:
        unit = 10 ** (6 - digits)
        over = moment.microsecond % unit
        moment += timedelta(microseconds=(unit if 2 * over >= unit else 0) - over)
    fraction = f".{moment.microsecond:06}"[: digits + 1] if digits else ""
    return moment.replace(microsecond=0).isoformat() + fraction + zone


def _duration(kind: Any, _: Dialect) -> Part:
    digits = kind.fsp or 0

    def part(value: Any) -> KeyPart:
        if isinstance(value, time):
            value = timedelta(
                hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
            )
        if not isinstance(value, timedelta):
            return str(value)
        whole, microseconds = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
        clock = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
        return "-" * (value < timedelta(0)) + clock + (f".{microseconds:06}"[: digits + 1] if digits else "")

    return part


def _plain(value: Any) -> KeyPart:
    if isinstance(value, bool | int):
        return _number(value)
    if isinstance(value, str | bytes | float):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return _moment_text(value, None, "")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return str(value)


_PARTS: list[tuple[Any, Callable[[Any, Dialect], Part]]] = [
    (sql.Boolean, lambda _kind, _: _number),
    (sql.Integer, lambda _kind, _: _number),
    (mysql.YEAR, lambda _kind, _: _number),
    (mysql.BIT, _bits),
    (mysql.SET, _set),
    (sql.Enum, _enum),
    (sql.Uuid, _uuid),
    (sql.Float, lambda _kind, _: float),
    (sql.Numeric, _decimal),
    (sql.DateTime, _moment),
    (mysql.TIME, _duration),
    (sql.String, _text),
]
"""By the first that fits; the others are what they look like."""
