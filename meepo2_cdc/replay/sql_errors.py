"""
What an error of a SQL database means for a connector.

    TryAgain        the database is away, busy, starting, full of connections; the same may succeed later
    ConfigError     a person must act: password, grants, TLS
    Error           anything else

Knows the error numbers of MySQL and MariaDB, the SQLSTATEs of PostgreSQL and the words of SQLite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymysql.constants import CR, ER
from sqlalchemy import exc

from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.replay.sink import TryAgain

_DENIED = {
    ER.ACCESS_DENIED_ERROR,
    ER.DBACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.COLUMNACCESS_DENIED_ERROR,
    ER.HOST_NOT_PRIVILEGED,
    1370,  # of a routine
    1698,  # without a password
    1820,  # the password must be changed
    1862,  # the password expired
    3118,  # the account is locked
}
_LATER = {
    CR.CR_CONNECTION_ERROR,
    CR.CR_CONN_HOST_ERROR,
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_SERVER_LOST_EXTENDED,
    ER.CON_COUNT_ERROR,
    ER.TOO_MANY_USER_CONNECTIONS,
    ER.USER_LIMIT_REACHED,
    ER.HOST_IS_BLOCKED,
    ER.SERVER_SHUTDOWN,
    ER.NEW_ABORTING_CONNECTION,
    ER.ABORTING_CONNECTION,
    ER.NET_READ_ERROR,
    ER.NET_READ_INTERRUPTED,
    ER.NET_ERROR_ON_WRITE,
    ER.NET_WRITE_INTERRUPTED,
    ER.CANT_CREATE_THREAD,
    ER.OUT_OF_RESOURCES,
    ER.OUTOFMEMORY,
    ER.DISK_FULL,
    ER.LOCK_WAIT_TIMEOUT,
    ER.LOCK_DEADLOCK,
    ER.LOCK_TABLE_FULL,
    ER.QUERY_INTERRUPTED,
    ER.OPTION_PREVENTS_STATEMENT,  # read_only, offline_mode
    1412,  # the definition of the table has changed
    1637,  # too many concurrent transactions
    1792,  # read-only transaction
    1836,  # read-only mode
    1927,  # MariaDB: the connection was killed
    1969,  # MariaDB: max_statement_time
    3024,  # max_execution_time
    3032,  # offline mode
    3100,  # a replication hook refused
    3572,  # NOWAIT
    4031,  # idle for too long
}
_NO_SUCH_TABLE = {ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR, ER.BAD_TABLE_ERROR, "42P01", "3F000"}
_NO_SUCH_COLUMN = {ER.BAD_FIELD_ERROR, "42703"}
_NO_COMMON_CHARACTERS = {1267, 1270, 1271, 3854, 3988}
_NO_SUCH_ACCOUNT = re.compile(
    r"FATAL: .*(authentication failed|(role|database) .* does not exist|no pg_hba.conf entry)"
)
_LATER_STATES = ("08", "40", "53", "55P03", "57", "25006")
_DENIED_STATES = ("28", "42501")


def error_code(error: exc.DBAPIError) -> int | str | None:
    """The number (MySQL, MariaDB) or SQLSTATE (PostgreSQL) of an error, if it has one."""
    original: Any = error.orig
    number = original.args[0] if original is not None and original.args else None
    if isinstance(number, int):
        return number  # PyMySQL knows SQLSTATEs too, which tell less
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    return None if state is None else str(state)


def is_no_such_table(error: exc.DBAPIError) -> bool:
    """The table or its schema is not there."""
    return error_code(error) in _NO_SUCH_TABLE or "no such table" in str(error.orig)


def is_outdated(error: exc.DBAPIError) -> bool:
    """What was known of the table holds no more."""
    return is_no_such_table(error) or error_code(error) in _NO_SUCH_COLUMN or "no such column" in str(error.orig)


def has_no_common_characters(error: exc.DBAPIError) -> bool:
    """A text was compared with a column whose character set cannot hold it."""
    return error_code(error) in _NO_COMMON_CHARACTERS


@contextmanager
def translating(database: str) -> Iterator[None]:
    """Errors of SQLAlchemy as what they mean; `database` is how messages name it."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise translated(error, database) from error


def translated(error: exc.SQLAlchemyError, database: str) -> Exception:
    """What to raise in its place."""
    if isinstance(error, exc.TimeoutError):
        return TryAgain(f"{database}: no connection of the pool became free")
    if not isinstance(error, exc.DBAPIError):
        return Error(f"{database}: {error}")
    code, text = error_code(error), _text(error)
    if _is(code, _DENIED, _DENIED_STATES) or _NO_SUCH_ACCOUNT.search(text):
        return ConfigError(
            f"{database} refuses access: {text}",
            fix="Check user and password, and grant the account SELECT on the tables that are read.",
        )
    if "SSL" in text or "certificate" in text.lower():
        return ConfigError(
            f"the TLS connection to {database} failed: {text}",
            fix="Check its TLS settings: of the source, tls_mode and tls_ca in [source].",
        )
    if error.connection_invalidated or _is(code, _LATER, _LATER_STATES) or _is_away(text):
        return TryAgain(f"{database} cannot be asked now: {text}")
    return Error(f"{database} answered with an error: {text}")


def _text(error: exc.DBAPIError) -> str:
    """The database's own words, which hold no statement and no parameters."""
    args = error.orig.args if error.orig is not None else ()
    return " ".join(str(one) for one in args[1:] or args).strip() or type(error.orig).__name__


def _is(code: int | str | None, numbers: set[int], states: tuple[str, ...]) -> bool:
    return code.startswith(states) if isinstance(code, str) else code in numbers


def _is_away(text: str) -> bool:
    """SQLite's files, and PostgreSQL while there is no connection yet: neither gives a code."""
    words = ("database is locked", "database table is locked", "connection refused", "connection failed", "timeout")
    return any(word in text.lower() for word in words)
