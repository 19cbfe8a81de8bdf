"""
The rows of the source as they are now, for connectors that need more than keys.

A record says which row changed; what it holds is asked here, many keys at a time.  Reads and never writes, takes no
locks, holds no transaction open.  Knows SQL; knows nothing of Kafka or of where rows go.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import pymysql.converters
import sqlalchemy
from sqlalchemy import URL, Connection, Engine, Table, event, exc

from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.records import KeyPart
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.replay.keys import Bound, KeyMismatch
from meepo2_cdc.replay.sink import TryAgain
from meepo2_cdc.replay.source_ranges import Place, place_behind, rows_behind
from meepo2_cdc.replay.source_tables import MYSQL_TYPES, Query, SourceTable, definition, source_table
from meepo2_cdc.replay.sql_errors import has_no_common_characters, is_outdated, translating
from meepo2_cdc.source_address import tls_arguments

BATCH_KEYS = 500
STATEMENT_CHARACTERS = 1 << 20
ANSWER_SECONDS = 30
_DEFINITION_TRIES = 4

Key = tuple[KeyPart, ...]
Row = dict[str, Any]
Asked = Mapping[Key, tuple[Bound, ...]]
T = TypeVar("T")

LOCK_WAIT_SECONDS = 20

# An empty mode: zero dates can be compared with, `"` quotes a text.  A table that is locked or being altered would be
# waited for during a year.  MariaDB turns long IN lists into a join that reads the whole table.
_SESSION = (
    f"SET SESSION sql_mode = '', time_zone = '+00:00', lock_wait_timeout = {LOCK_WAIT_SECONDS}"
    " /*M!100303 , in_predicate_conversion_threshold = 0 */"
)


class LogEnd(NamedTuple):
    """The end of a server's log, as a place in its files and as a set of global ids, which may be empty."""

    flavor: str
    at: LogPosition
    gtids: str


class SourceRows:
    """
    Rows by primary key, from MySQL, MariaDB, PostgreSQL or SQLite.

    One object serves any number of threads; each call uses a connection of a pool.  Every call may raise

    - `meepo2_cdc.replay.sink.TryAgain`: the database is away, busy or full of connections;
    - `meepo2_cdc.errors.ConfigError`: it refuses the account; a person must act;
    - `meepo2_cdc.errors.Error`: anything else that it answered.

    A row is a dict by column name, with every column: those that `SELECT *` leaves out (invisible ones) too.  From
    MySQL and MariaDB its values are

    | column | Python |
    |---|---|
    | TINYINT to BIGINT, BOOL, YEAR | int |
    | DECIMAL | Decimal, with all of its digits |
    | FLOAT | float: the double that is exactly the stored float, 0.10000000149011612 for 0.1 |
    | DOUBLE | float |
    | BIT(n) | int |
    | DATE | date |
    | DATETIME(f) | datetime without a zone |
    | TIMESTAMP(f) | datetime without a zone, in UTC |
    | a DATE, DATETIME or TIMESTAMP that Python has not | str as the server prints it: "0000-00-00 00:00:00" |
    | TIME(f) | timedelta, negative ones too |
    | CHAR, VARCHAR, TEXT, ENUM | str |
    | SET | str: the labels with commas between them, in the order of the definition |
    | BINARY, VARBINARY, BLOB | bytes |
    | JSON | str: the document's text |
    | UUID, INET4, INET6 (MariaDB) | str |
    | GEOMETRY and its kin | bytes: SRID, then well-known binary |
    | VECTOR | bytes: 32-bit floats, little-endian |

    and None for NULL.  From other databases they are what SQLAlchemy makes of the column's type.
    """

    def __init__(
        self, url: URL | str, connect_args: Mapping[str, Any] | None = None, *, batch_keys: int = BATCH_KEYS
    ) -> None:
        """
        Connects to nothing yet.

        `connect_args` go to the driver, which is PyMySQL for MySQL and MariaDB.  `batch_keys` is the most keys in one
        statement.
        """
        self._engine = _engine(sqlalchemy.make_url(url), dict(connect_args or {}))
        self._batch_keys = batch_keys
        self._known: dict[tuple[str, str], SourceTable] = {}
        self._name = _name(self._engine.url)

    @classmethod
    def from_source(cls, settings: SourceSettings) -> SourceRows:
        """Of the server that [source] names, with the capture's account and TLS; raises ConfigError without one."""
        address = settings.address
        url = URL.create("mysql+pymysql", address.user, address.password, address.host, address.port)
        timeouts = {
            "connect_timeout": max(1, round(settings.connect_timeout_seconds)),
            "read_timeout": ANSWER_SECONDS,
            "write_timeout": ANSWER_SECONDS,
        }
        rows = cls(url, {**timeouts, **tls_arguments(settings)})
        if settings.tls_mode not in ("disabled", "preferred"):
            _insist_on_tls(rows._engine, f"{address}", settings.tls_mode)
        return rows

    def fetch(self, schema: str, table: str, pks: Sequence[Key]) -> dict[Key, Row]:
        """
        The rows that the source has now under these keys, which are as records carry them.

        What is not in the answer is not in the source: the row was deleted, or the whole table dropped.

        result[key] is the row that the source itself takes for equal to `key`.  With a collation that ignores case or
        trailing spaces it may be spelled otherwise: asked for ("ABC",), the row ("abc",) comes if the source has that
        one.  Two keys that were asked for may have the same row.  Where the target tells such spellings apart,
        compare `key_parts(rows.table(schema, table), row)` with the key: when they differ, no row of this very
        spelling exists.

        Of a key over the beginning of a column, PRIMARY KEY (slug(10)), the whole value is asked for.

        Raises KeyMismatch (an UnreadableData) when keys are not of the table's key: it was changed since they were
        written.  Its `pks` are those keys; without them the others can be asked for.
        """
        return self._answer(schema, table, {}, lambda connection, known: self._find(connection, known, known.rows, pks))

    def existing(self, schema: str, table: str, pks: Sequence[Key]) -> set[Key]:
        """Those of the keys for which `fetch` would have a row.  Reads the key's columns only; raises as `fetch`."""
        found: dict[Key, Row] = self._answer(
            schema, table, {}, lambda connection, known: self._find(connection, known, known.keys, pks)
        )
        return set(found)

    def table(self, schema: str, table: str) -> Table | None:
        """
        The table's definition as it is now, or None when the source has no such table.

        Its `primary_key` is what the records have for a key, in the same order: without a primary key the unique key
        that the server takes for one.  Reflected once, and again whenever the definition changed.
        """
        return self._answer(schema, table, None, lambda _, known: known.table)

    # -- whole tables, of MySQL and MariaDB

    def tables(self) -> dict[tuple[str, str], int]:
        """Schema and name of every table that there is, views and the like aside; about how many rows it has."""
        with translating(self._name), self._engine.connect() as connection:
            found = connection.exec_driver_sql(_TABLES)
            return {(str(schema), str(name)): int(rows or 0) for schema, name, rows in found}

    def log_end(self) -> LogEnd:
        """How far the server's log is; raises ConfigError for an account without REPLICATION CLIENT."""
        with translating(self._name), self._engine.connect() as connection:
            is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
            file, size = connection.exec_driver_sql("SHOW BINARY LOGS").fetchall()[-1][:2]
            variable = "gtid_binlog_pos" if is_mariadb else "gtid_executed"
            gtids = connection.exec_driver_sql(f"SELECT @@GLOBAL.{variable}").scalar_one()
            return LogEnd("mariadb" if is_mariadb else "mysql", LogPosition(str(file), int(size)), str(gtids))

    def behind(self, schema: str, table: str, place: Place | None, limit: int) -> tuple[list[Row], Place | None]:
        """
        The next rows by the key's order, of those behind a place; the first ones where that is None.

        With the place of the last of them, None when there were none, or there is no such table, or it has no key.
        Raises Error where the key is another than that of the place.
        """
        nothing: tuple[list[Row], Place | None] = [], None
        return self._answer(
            schema, table, nothing,
            lambda connection, known: (
                rows_behind(connection, known, place, limit) if _has_key(known, place) else nothing
            ),
        )  # fmt: skip

    def skip(self, schema: str, table: str, place: Place | None, rows: int) -> Place | None:
        """The place so many rows behind another one, without reading them; None where there are fewer."""
        return self._answer(
            schema, table, None,
            lambda connection, known: (
                place_behind(connection, known, place, rows) if _has_key(known, place) else None
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Close the connections.  Afterwards the object must not be used."""
        self._engine.dispose()

    def _answer(self, schema: str, name: str, nothing: T, ask: Callable[[Connection, SourceTable], T]) -> T:
        """
        What `ask` says, if the table was one and the same all the time; asked again if it was altered meanwhile.

        Looking at the definition afterwards costs one short query, and notices whatever was altered since it was
        read, be it before this call or during it.
        """
        with translating(self._name), self._engine.connect() as connection:
            for _ in range(_DEFINITION_TRIES):
                known = self._known.get((schema, name)) or source_table(connection, schema, name)
                if known is None:
                    return nothing
                failure: Exception | None = None
                try:
                    answer = ask(connection, known)
                except (exc.DBAPIError, KeyMismatch) as error:
                    if isinstance(error, exc.DBAPIError) and not is_outdated(error):
                        raise
                    failure = error
                if definition(connection, schema, name) != known.definition:
                    self._known.pop((schema, name), None)
                    continue
                self._known[schema, name] = known
                if failure is not None:
                    raise failure
                return answer
        raise TryAgain(f"the definition of {schema}.{name} in {self._name} keeps changing")

    def _find(self, connection: Connection, known: SourceTable, query: Query, pks: Sequence[Key]) -> Any:
        asked = iter(_bound(known, pks).items())
        found: dict[Key, Row] = {}
        while batch := dict(islice(asked, self._batch_keys)):
            found |= _found(connection, known, query, batch)
        return found


_TABLES = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES"
    " WHERE TABLE_TYPE = 'BASE TABLE' ORDER BY 1, 2"
)


def _has_key(known: SourceTable, place: Place | None) -> bool:
    if place is not None and place.key != known.key.names:
        raise Error(
            f"the key of {known.table.fullname} was ({', '.join(place.key)}) and is ({', '.join(known.key.names)}) now:"
            " it was altered while its rows were read",
            fix="Begin again with this table.",
        )
    return bool(known.key.names)


def _bound(known: SourceTable, pks: Sequence[Key]) -> Asked:
    bound, wrong = {}, {}
    for pk in pks:
        try:
            bound[pk] = known.key.bound(pk)
        except ValueError as error:
            wrong[pk] = str(error)
    if wrong:
        columns = ", ".join(known.key.names) or "no columns at all"
        raise KeyMismatch(
            f"{len(wrong)} keys asked of {known.table.fullname} are of another key than ({columns})"
            f", which it has now: {next(iter(wrong.values()))}",
            list(wrong),
            fix="The key was changed behind them.  Fill the target anew from the table as it is, and go on behind it.",
        )
    return bound


def _found(connection: Connection, known: SourceTable, query: Query, asked: Asked) -> dict[Key, Row]:
    """
    The rows by the keys that were asked for.

    Rows that are spelled as asked are recognised.  Which of the other keys the source takes for equal to a row, only
    the source knows: they are asked for again without the recognised ones, which mostly finds nothing, as they are of
    deleted rows; then in halves, until one key and its row are alone.
    """
    rows = {known.key.bound_of_row(row): row for row in _select(connection, query, list(asked.values()))}
    if len(asked) == 1:
        return dict(zip(asked, rows.values(), strict=False))
    found = {pk: rows[bound] for pk, bound in asked.items() if bound in rows}
    rest = {pk: bound for pk, bound in asked.items() if pk not in found}
    if not rows or not rest or (known.key.exact and rows.keys() <= set(asked.values())):
        return found
    for part in [rest] if found else _halves(rest):
        found |= _found(connection, known, query, part)
    return found


def _halves(asked: Asked) -> list[Asked]:
    items = list(asked.items())
    middle = len(items) // 2
    return [dict(items[:middle]), dict(items[middle:])]


def _select(connection: Connection, query: Query, keys: Sequence[tuple[Bound, ...]]) -> Iterator[Row]:
    """
    The rows of these keys, with more statements where one is too long for the server (max_allowed_packet).

    A text that the column's character set cannot hold fails its statement, and equals none of the column's values.
    """
    if len(keys) > 1 and _characters(keys) > STATEMENT_CHARACTERS:
        yield from _select_halves(connection, query, keys)
        return
    try:
        found = query.ask(connection, keys)
    except exc.DBAPIError as error:
        if not has_no_common_characters(error):
            raise
        if len(keys) > 1:
            yield from _select_halves(connection, query, keys)
        return
    for values in found:
        yield dict(zip(query.columns, values, strict=True))


def _select_halves(connection: Connection, query: Query, keys: Sequence[tuple[Bound, ...]]) -> Iterator[Row]:
    middle = len(keys) // 2
    yield from _select(connection, query, keys[:middle])
    yield from _select(connection, query, keys[middle:])


def _characters(keys: Sequence[tuple[Bound, ...]]) -> int:
    return sum(len(part) for key in keys for part in key if isinstance(part, str | bytes))


# -- connections


def _engine(url: URL, connect_args: dict[str, Any]) -> Engine:
    is_mysql = url.get_backend_name() in ("mysql", "mariadb")
    if is_mysql:
        url = url.set(drivername="mysql+pymysql")
        connect_args |= {"charset": "utf8mb4", "conv": _CONVERSIONS}
    engine = sqlalchemy.create_engine(
        url,
        connect_args=connect_args,
        isolation_level="AUTOCOMMIT",  # no transaction is left open that an ALTER TABLE would wait for
        skip_autocommit_rollback=True,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    if is_mysql:
        names: Any = engine.dialect
        names.ischema_names = {**names.ischema_names, **MYSQL_TYPES}
        event.listen(engine, "connect", _prepare_session)
    return engine


# str() of a small Decimal has an exponent, which makes it a DOUBLE to the server
_CONVERSIONS = {**pymysql.converters.conversions, Decimal: lambda number, _: format(number, "f")}


def _prepare_session(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)


def _insist_on_tls(engine: Engine, server: str, mode: str) -> None:
    """PyMySQL goes on without encryption where the server offers none."""

    def check(connection: Any, _: Any) -> None:
        if not isinstance(connection._sock, ssl.SSLSocket):
            raise ConfigError(f"{server} does not speak TLS, and tls_mode is {mode}")

    event.listen(engine, "connect", check, insert=True)


def _name(url: URL) -> str:
    """How messages name the database: without account and password."""
    return f"{url.host}:{url.port}" if url.port else url.host or str(url.database or url.get_backend_name())
