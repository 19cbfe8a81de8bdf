"""
What a database says against a row, as opposed to against everything.

The reasons get into logs and dead letters, so they never hold values of a row; databases like to repeat them.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pymysql.constants import ER
from sqlalchemy import exc

from meepo2_cdc.replay.sql_errors import error_code, is_outdated

Kind = Literal["unique", "foreign key", "value"]

_MYSQL_UNIQUE = {ER.DUP_ENTRY, 1586, ER.SUBQUERY_NO_1_ROW}
_MYSQL_FOREIGN = {ER.ROW_IS_REFERENCED, ER.NO_REFERENCED_ROW, ER.ROW_IS_REFERENCED_2, ER.NO_REFERENCED_ROW_2}
_MYSQL_VALUE = {
    ER.BAD_NULL_ERROR,
    ER.NO_DEFAULT_FOR_FIELD,
    ER.NET_PACKET_TOO_LARGE,
    ER.WARN_DATA_OUT_OF_RANGE,
    ER.WARN_DATA_TRUNCATED,
    ER.TRUNCATED_WRONG_VALUE,
    ER.TRUNCATED_WRONG_VALUE_FOR_FIELD,
    ER.DATA_TOO_LONG,
    ER.CANT_CREATE_GEOMETRY_OBJECT,
    1300,  # not of this character set
    1644,  # SIGNAL of a trigger
    3140,  # no JSON
    3141,
    3819,  # CHECK
    4025,  # CHECK, MariaDB
}
_POSTGRES_KINDS: dict[str, Kind] = {"23505": "unique", "23P01": "unique", "23503": "foreign key"}
_POSTGRES_VALUE = ("22", "23", "54", "P0001")
_CHANGED = {"42P10", "42804", 1136, 1072}

# what stands in for the places where databases repeat a value
_POSTGRES_WORDS = re.compile(r': ".*|(?<=value) ".*"(?= )', re.DOTALL)
_MYSQL_WORDS = re.compile(r": '.*'(?= for )|(?<=entry) '.*'(?= for )|(?<=value):? '.*'$| at row \d+$", re.DOTALL)


class Refusal(Exception):
    """The target does not take these rows as they are."""

    def __init__(self, why: str, kind: Kind) -> None:
        super().__init__(why)
        self.why = why
        self.kind: Kind = kind


class Outdated(Exception):
    """The target's table is not what it was."""


def refusal_of(error: exc.DBAPIError) -> Refusal | None:
    """None where it is not about the values of rows."""
    code = error_code(error)
    if isinstance(code, int):
        return _of_mysql(code, error)
    if isinstance(code, str):
        return _of_postgres(code, error)
    if isinstance(error, exc.IntegrityError | exc.DataError):
        text = str(error.orig)
        kind: Kind = "unique" if "UNIQUE" in text else "foreign key" if "FOREIGN KEY" in text else "value"
        return Refusal(_POSTGRES_WORDS.sub("", text.splitlines()[0]), kind)
    return None


def is_changed(error: exc.DBAPIError) -> bool:
    """Whether what was known of the target's table holds no more."""
    return is_outdated(error) or error_code(error) in _CHANGED or "has no column named" in str(error.orig)  # SQLite


def _of_postgres(state: str, error: exc.DBAPIError) -> Refusal | None:
    kind = _POSTGRES_KINDS.get(state, "value")
    if not state.startswith(_POSTGRES_VALUE):
        return None
    original: Any = error.orig
    return Refusal(_POSTGRES_WORDS.sub("", original.diag.message_primary or type(original).__name__), kind)


def _of_mysql(number: int, error: exc.DBAPIError) -> Refusal | None:
    kind: Kind = "unique" if number in _MYSQL_UNIQUE else "foreign key" if number in _MYSQL_FOREIGN else "value"
    if kind == "value" and number not in _MYSQL_VALUE and not isinstance(error, exc.IntegrityError | exc.DataError):
        return None
    if number == ER.SUBQUERY_NO_1_ROW:  # see MysqlStatements
        return Refusal("another row of the target has its values in a unique key", "unique")
    original: Any = error.orig
    return Refusal(_MYSQL_WORDS.sub("", str(original.args[-1])), kind)
