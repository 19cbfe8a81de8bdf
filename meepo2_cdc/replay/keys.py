"""
Primary keys: as records carry them, and as a database compares them.

docs/types.md says what a part looks like for each type of MySQL and MariaDB; here the same forms are made of the rows
of a query, and values for a query are made of the forms.  Knows SQLAlchemy's types; asks no database.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import KeyPart

_LONG = 1 << 63
_DIGITS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
_MOMENT = re.compile(rf"({_DATE})(?:T({_CLOCK})Z?)?")
_DURATION = re.compile(r"-?[0-9]{2,3}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?")

Key = tuple[KeyPart, ...]
Bound = Any
"""A value for a query.  Two that are equal in Python are equal to the database; the reverse holds for exact columns."""


class KeyMismatch(UnreadableData):
    """
    Keys with which the table cannot be asked: another number of parts than its key has, or of another kind.

    They were written while the table had another key; which of its present rows they meant, nobody can tell.  `pks`
    are these keys.
    """

    def __init__(self, found: str, pks: Sequence[Key], *, fix: str = "") -> None:
        super().__init__(found, fix=fix)
        self.pks = tuple(pks)


def key_parts(table: Table, row: Mapping[str, Any]) -> Key:
    """
    The key of a row that `SourceRows` gave from MySQL or MariaDB, in the form in which records carry it.

    `table` is the row's table as `SourceRows.table` gives it.  Comparing the result with the key that was asked for
    tells whether the source now spells it otherwise (see `SourceRows.fetch`).
    """
    return tuple(key_part(column, row[column.name]) for column in table.primary_key.columns)


def key_maker(table: Table) -> Callable[[Mapping[str, Any]], Key]:
    """`key_parts` for many rows of one table."""
    columns = [(column.name, _part(column.type)) for column in table.primary_key.columns]
    if len(columns) == 1:
        ((name, part),) = columns
        return lambda row: (part(row[name]),)
    return lambda row: tuple([part(row[name]) for name, part in columns])


def key_part(column: Column[Any], value: Any) -> KeyPart:
    """One column's value as a part of a key."""
    return _part(column.type)(value)


@dataclass(frozen=True, slots=True)
class _KeyColumn:
    name: str
    bind: Callable[[KeyPart], Bound]
    bind_value: Callable[[Any], Bound]


class KeyForm:
    """
    How the keys of one table are asked for, and found again in what comes.

    With `as_text`, times go to the database as text, for MySQL and MariaDB: they have times that Python has not, such
    as 0000-00-00.  `exact` tells that the database takes no two keys for equal that differ here; collations do.
    """

    def __init__(self, table: Table, *, as_text: bool) -> None:
        columns = list(table.primary_key.columns)
        self.names = tuple(column.name for column in columns)
        self.exact = all(isinstance(column.type, _EXACT) for column in columns)
        self._columns = [_key_column(one, as_text) for one in columns]

    def bound(self, pk: Key) -> tuple[Bound, ...]:
        """The values to ask with; raises ValueError for a key that is not of this form."""
        if len(pk) != len(self.names) or not pk:
            raise ValueError(f"{len(pk)} parts, and the key has {len(self.names)}")
        return tuple(column.bind(part) for column, part in zip(self._columns, pk, strict=True))

    def bound_of_row(self, row: Mapping[str, Any]) -> tuple[Bound, ...]:
        """The values with which exactly this row would be asked for."""
        return tuple(column.bind_value(row[column.name]) for column in self._columns)


def _key_column(column: Column[Any], as_text: bool) -> _KeyColumn:
    part, bind = _part(column.type), _bind(column.type, as_text)
    if isinstance(column.type, (*_NUMBERS, sql.String)):  # most keys: nothing to convert, for each row
        return _KeyColumn(column.name, bind, lambda value: value)
    return _KeyColumn(column.name, bind, lambda value: bind(part(value)))


_NUMBERS = (sql.Integer, sql.Numeric, sql.Float, mysql.YEAR, sql.Boolean)
_BYTES = (sql.LargeBinary, sql.BINARY, sql.VARBINARY, mysql.TINYBLOB, mysql.MEDIUMBLOB, mysql.LONGBLOB)
_EXACT = (*_NUMBERS, *_BYTES, mysql.BIT, sql.Date, sql.DateTime, sql.Time)


# -- from a row to a record


def _part(kind: sql.TypeEngine[Any]) -> Callable[[Any], KeyPart]:
    if isinstance(kind, mysql.BIT):
        width = ((kind.length or 1) + 7) // 8
        return lambda value: value if isinstance(value, bytes) else int(value).to_bytes(width, "big")
    if isinstance(kind, sql.DateTime):
        digits = kind.fsp or 0 if isinstance(kind, mysql.DATETIME | mysql.TIMESTAMP) else None
        zone = "Z" if isinstance(kind, mysql.TIMESTAMP) else ""
        return lambda value: _moment_text(value, digits, zone)
    if isinstance(kind, mysql.TIME):
        digits = kind.fsp or 0
        return lambda value: _duration_text(value, digits)
    return _plain_part


def _plain_part(value: Any) -> KeyPart:
    if isinstance(value, str | bytes | float):
        return value
    if isinstance(value, int):
        return int(value) if value < _LONG else str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if value is None:
        raise ValueError("a key holds NULL")
    return str(value)


def _moment_text(value: Any, digits: int | None, zone: str) -> str:
    """`digits` of a fraction where the column says so; what is no moment to Python came as the database wrote it."""
    if not isinstance(value, datetime):
        return str(value).replace(" ", "T")
    moment: datetime = value
    if moment.tzinfo is not None:
        moment, zone = moment.astimezone(UTC).replace(tzinfo=None), "Z"
    digits = 6 * (moment.microsecond > 0) if digits is None else digits
    return moment.replace(microsecond=0).isoformat() + _fraction(moment.microsecond, digits) + zone


def _duration_text(value: Any, digits: int) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    whole, microseconds = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    clock = f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    return "-" * (value < timedelta(0)) + clock + _fraction(microseconds, digits)


def _fraction(microseconds: int, digits: int) -> str:
    return f".{microseconds:06}"[: digits + 1] if digits else ""


# -- from a record to a query


def _bind(kind: sql.TypeEngine[Any], as_text: bool) -> Callable[[KeyPart], Bound]:
    if isinstance(kind, mysql.BIT):
        return _bits
    if isinstance(kind, _NUMBERS):
        return _number
    if isinstance(kind, _BYTES):
        return _bytes
    if isinstance(kind, sql.Date | sql.DateTime | sql.Time):
        return _duration if isinstance(kind, mysql.TIME) else _moment if as_text else _python_time(kind)
    if isinstance(kind, sql.Uuid) and not as_text and kind.as_uuid:
        return lambda part: uuid.UUID(str(part))
    return _text


def _bits(part: KeyPart) -> Bound:
    return int.from_bytes(_bytes(part), "big")


def _number(part: KeyPart) -> Bound:
    """A whole Decimal as an int: the same to Python and to the database, and written without an exponent."""
    if not isinstance(part, str):
        return part if isinstance(part, int | float) else _refuse(part, "number")
    if not _DIGITS.fullmatch(part):
        _refuse(part, "number")
    number = Decimal(part)
    return int(number) if number == number.to_integral_value() else number


def _bytes(part: KeyPart) -> Bound:
    return part if isinstance(part, bytes) else _refuse(part, "bytes")


def _text(part: KeyPart) -> Bound:
    """Numbers too: of a column that was made text since."""
    return str(part) if isinstance(part, str | int) else _refuse(part, "text")


def _moment(part: KeyPart) -> Bound:
    """As MySQL writes it; a fraction without the zeros at its end, so that one moment is one text."""
    found = _MOMENT.fullmatch(_text(part)) or _refuse(part, "date or time")
    day, clock = found[1], found[2]
    return day if clock is None else f"{day} {_short(clock)}"


def _duration(part: KeyPart) -> Bound:
    return _short(_text(part)) if _DURATION.fullmatch(_text(part)) else _refuse(part, "time")


def _short(clock: str) -> str:
    return clock.rstrip("0").rstrip(".") if "." in clock else clock


def _python_time(kind: sql.TypeEngine[Any]) -> Callable[[KeyPart], Bound]:
    if isinstance(kind, sql.Date):
        return lambda part: date.fromisoformat(_text(part))
    if isinstance(kind, sql.Time):
        return lambda part: time.fromisoformat(_text(part))
    return lambda part: _zoned(datetime.fromisoformat(_text(part)), bool(getattr(kind, "timezone", False)))


def _zoned(moment: datetime, wanted: bool) -> datetime:
    """Records tell instants in UTC; a column without a zone holds them without."""
    return moment.replace(tzinfo=UTC if wanted else None)


def _refuse(part: KeyPart, kind: str) -> Any:
    raise ValueError(f"a part that is {type(part).__name__} where the column holds {kind}")
