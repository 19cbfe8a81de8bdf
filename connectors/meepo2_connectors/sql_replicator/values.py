"""
Values of the source as the target's columns hold them, and back where they are keys.

docs/types.md has the tables.  What a column cannot hold without loss is refused (Unfit), never rounded or cut here.
Knows SQLAlchemy's types; asks no database.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Column
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import BIT as POSTGRES_BIT

from meepo2_cdc.records import KeyPart
from meepo2_cdc.replay.keys import key_part
from meepo2_cdc.replay.source_tables import Geometry, Vector

Convert = Callable[[Any], Any]
"""Of a value that is not None."""
_BYTES = (sql.LargeBinary, sql.BINARY, sql.VARBINARY, mysql.TINYBLOB, mysql.MEDIUMBLOB, mysql.LONGBLOB)
_DAY = timedelta(days=1)
_SQLITE_DIGITS = 15
_LONG = 1 << 63


class Unfit(ValueError):
    """The target's column cannot hold this value; the text never says the value."""


def convert_for(dialect: str, source: Column[Any], target: Column[Any], *, zero_as_null: bool) -> Convert | None:
    """How values of the one column become those of the other; None when they stay what they are."""
    if dialect == "postgresql":
        return _for_postgres(source, target, zero_as_null)
    if dialect == "sqlite":
        return _for_sqlite(source, target)
    if dialect in ("mysql", "mariadb"):
        return duration_text if isinstance(source.type, mysql.TIME) else None
    return None


# -- PostgreSQL


def _for_postgres(source: Column[Any], target: Column[Any], zero_as_null: bool) -> Convert | None:
    kind = target.type
    if isinstance(kind, sql.Boolean):
        return lambda value: value if isinstance(value, str) else value != 0
    if isinstance(kind, sql.Float):
        return None
    if isinstance(kind, sql.Integer):
        return _whole if isinstance(source.type, sql.Numeric | sql.Float) else None
    if isinstance(kind, sql.Numeric):
        return (lambda value: Decimal(repr(value))) if isinstance(source.type, sql.Float) else None
    if isinstance(kind, _BYTES):
        width = (getattr(source.type, "length", None) or 1) + 7 >> 3
        return None if isinstance(source.type, _BYTES) else lambda value: _as_bytes(value, width)
    if isinstance(kind, POSTGRES_BIT):
        width = source.type.length or 1 if isinstance(source.type, mysql.BIT) else kind.length or 1
        return lambda value: format(value, f"0{width}b")
    if isinstance(kind, sql.DateTime | sql.Date):
        return _moment_for(kind, zero_as_null)
    if isinstance(kind, sql.Time):
        return _time_of_day
    if isinstance(kind, sql.Interval) or "INTERVAL" in type(kind).__name__:
        return None
    return None if _is_text(source) else as_text


def _is_text(source: Column[Any]) -> bool:
    return isinstance(source.type, sql.String | sql.JSON) and not isinstance(source.type, _BYTES)


def _moment_for(kind: sql.TypeEngine[Any], zero_as_null: bool) -> Convert:
    into = _into_date if isinstance(kind, sql.Date) else _into_datetime
    zone = UTC if getattr(kind, "timezone", False) else None

    def convert(value: Any) -> Any:
        if isinstance(value, date):  # a datetime is one too
            return into(value, zone)
        if isinstance(value, str) and zero_as_null:
            return None
        if isinstance(value, str):
            raise Unfit("a date that this column cannot hold, such as 0000-00-00; see zero_dates")
        raise Unfit(f"a {type(value).__name__} where the column holds dates")

    return convert


def _into_date(value: date, _: Any) -> date:
    if not isinstance(value, datetime):
        return value
    if value.time() != time():
        raise Unfit("a date with a time of day where the column holds dates")
    return value.date()


def _into_datetime(value: date, zone: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return moment.replace(tzinfo=zone)


def _time_of_day(value: Any) -> time:
    if not isinstance(value, timedelta) or not timedelta() <= value < _DAY:
        raise Unfit("a time that is no time of day: below 00:00:00 or above 23:59:59; an interval could hold it")
    return (datetime.min + value).time()  # noqa: DTZ901 - only its time of day counts


def _whole(value: Any) -> int:
    if value != int(value):
        raise Unfit("a number with a fraction where the column holds whole ones")
    return int(value)


def _as_bytes(value: Any, width: int) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int) and value >= 0:
        return value.to_bytes(max(width, (value.bit_length() + 7) // 8), "big")
    if isinstance(value, bytes):
        return value
    raise Unfit(f"a {type(value).__name__} where the column holds bytes")


def as_text(value: Any) -> str:
    """As MySQL prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise Unfit("bytes where the column holds text")
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else repr(value)


def duration_text(value: Any) -> str:
    """-838:59:59.5, with as many digits of a fraction as needed."""
    if not isinstance(value, timedelta):
        return str(value)
    seconds, fraction = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return "-" * (value < timedelta()) + text + (f".{fraction:06}".rstrip("0") if fraction else "")


# -- SQLite


def _for_sqlite(source: Column[Any], target: Column[Any]) -> Convert | None:
    """SQLite has no types but affinities (https://www.sqlite.org/datatype3.html, section 3.1)."""
    if isinstance(source.type, (*_BYTES, Geometry, Vector, sql.String, sql.JSON)):
        return None
    affinity = _affinity(str(target.type).upper())
    keeps_text = affinity in ("text", "blob")
    if isinstance(source.type, sql.Integer | mysql.BIT):
        return lambda value: value if value < _LONG else _digits(str(value), keeps_text)
    if isinstance(source.type, sql.Float):
        return repr if affinity == "text" else None
    if isinstance(source.type, sql.Numeric):
        return lambda value: _digits(format(value, "f"), keeps_text)
    return as_text


def _affinity(declared: str) -> str:
    for words, affinity in _AFFINITIES:
        if any(word in declared for word in words):
            return affinity
    return "numeric" if declared not in ("", "NULL") else "blob"


_AFFINITIES = (
    (("INT",), "integer"),
    (("CHAR", "CLOB", "TEXT"), "text"),
    (("BLOB",), "blob"),
    (("REAL", "FLOA", "DOUB"), "real"),
)


def _digits(number: str, keeps_text: bool) -> str:
    if not keeps_text and len(number.replace("-", "").replace(".", "").lstrip("0")) > _SQLITE_DIGITS:
        raise Unfit(f"a number of more than {_SQLITE_DIGITS} digits, of which SQLite keeps all in TEXT columns only")
    return number


# -- keys: from records, and back


def value_of_part(source: Column[Any]) -> Convert:
    """A part of a key as a row of the source has it; raises ValueError for what is none."""
    kind = source.type
    if isinstance(kind, mysql.BIT):
        return lambda part: int.from_bytes(part, "big") if isinstance(part, bytes) else int(part)
    if isinstance(kind, sql.Float):
        return float
    if isinstance(kind, sql.Integer):
        return int
    if isinstance(kind, sql.Numeric):
        return lambda part: Decimal(str(part))
    if isinstance(kind, sql.DateTime | sql.Date):
        return lambda part: _moment(str(part), isinstance(kind, sql.Date))
    if isinstance(kind, sql.Time | sql.Interval):
        return lambda part: _duration(str(part))
    return lambda part: part


def part_of_value(source: Column[Any]) -> Callable[[Any], KeyPart]:
    """What the target holds of a key's column, as a record has it; raises ValueError for what no record has."""
    kind = source.type
    of_part = value_of_part(source)

    def part(value: Any) -> KeyPart:
        value = _plain(value)
        if isinstance(kind, mysql.BIT) and isinstance(value, str):
            value = int(value, 2)
        elif isinstance(kind, mysql.FLOAT):
            value = struct.unpack("f", struct.pack("f", float(value)))[0]
        elif isinstance(kind, sql.Numeric) and not isinstance(kind, sql.Float) and kind.scale is not None:
            value = Decimal(str(value)).quantize(Decimal(1).scaleb(-kind.scale))
        elif isinstance(kind, sql.String) and not isinstance(value, str):
            value = as_text(value)
        elif not isinstance(value, date | timedelta | bytes):
            value = of_part(value)
        return key_part(source, value)

    return part


def _plain(value: Any) -> Any:
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, time):
        return timedelta(hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond)
    return value


def _moment(text: str, is_date: bool) -> Any:
    """What Python has no moment for is text, as in a row of the source."""
    text = text.replace("T", " ").removesuffix("Z")
    try:
        return date.fromisoformat(text) if is_date else datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return text


def _duration(text: str) -> timedelta:
    hours, minutes, seconds = text.lstrip("-").split(":")
    size = timedelta(hours=int(hours), minutes=int(minutes), microseconds=int(Decimal(seconds) * 1_000_000))
    return -size if text.startswith("-") else size
