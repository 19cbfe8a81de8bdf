"""
The target database: connections, transactions, what its errors mean, and the definitions of its tables.

Knows SQLAlchemy and what is particular about each kind of database; knows nothing of the source.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, MetaData, Table, event, exc, inspect
from sqlalchemy.schema import CreateSchema, CreateTable
from sqlalchemy.sql.elements import quoted_name

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.source_tables import MYSQL_TYPES
from meepo2_cdc.replay.sql_errors import translated
from meepo2_connectors.sql_replicator.created import quoted
from meepo2_connectors.sql_replicator.names import TargetName
from meepo2_connectors.sql_replicator.refusals import Outdated, is_changed, refusal_of
from meepo2_connectors.sql_replicator.settings import Settings
from meepo2_connectors.sql_replicator.urls import name_of, target_url

IDLE_SECONDS = 3
"""How long a transaction may rest before the target ends it: a process that was paused in the middle of one must not
go on as if nothing had happened since."""
KEYS = 1000
"""How many rows are read at once where all of a table are."""
_WRITES = "meepo2_writes"
_MYSQL_MODE = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"
"""Nothing is cut in silence, a key of 0 is 0, and what the source has for a date is one."""


class Target:
    """Any number of threads may use it, each with a transaction of its own."""

    def __init__(self, own: Settings) -> None:
        url = target_url(own.target_url.get_secret_value())
        self.name = name_of(url)
        self.dialect = url.get_backend_name()
        self._own = own
        self._engine = _engine(url, own)
        self._writing = self._engine.execution_options(**{_WRITES: True})
        # SQLite lets one write at a time; waiting here is fair, and free of its busy errors
        self._turn: AbstractContextManager[Any] = threading.Lock() if self.dialect == "sqlite" else nullcontext()

    def open(self) -> None:
        with self.translating(), self._engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Errors as what happens next: Refusal, Outdated, TryAgain, ConfigError, Error."""
        try:
            yield
        except exc.DBAPIError as error:
            refusal = refusal_of(error)
            if refusal is not None:
                raise refusal from None  # the original repeats values of rows
            if is_changed(error):
                raise Outdated(str(error.orig)) from None
            raise self._translated(error) from None
        except exc.SQLAlchemyError as error:
            raise self._translated(error) from None

    def _translated(self, error: exc.SQLAlchemyError) -> Exception:
        meant = translated(error, self.name)
        if "unable to open database file" in str(meant):
            return ConfigError(f"{self.name} cannot be opened", fix="Check the directory, and the rights on it.")
        if isinstance(meant, ConfigError):
            return ConfigError(
                meant.found,
                fix="Check [sql_replicator] target_url, and the account's rights to SELECT, INSERT, UPDATE and DELETE.",
            )
        return meant

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Committed at the end.  In SQLite its lock is held from the beginning on."""
        with self._turn, self.translating(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """For a long read beside transactions that write."""
        with self.translating(), self._engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            elif self.dialect in ("mysql", "mariadb"):
                connection.exec_driver_sql("SET SESSION net_write_timeout = 86400")
            yield connection.execution_options(stream_results=True, yield_per=KEYS)

    @property
    def streams(self) -> bool:
        """Whether rows can be read while others are written; SQLite's commits wait for readers to end."""
        return self.dialect != "sqlite"

    def guard(self, connection: Connection) -> None:
        """From here on the target ends the transaction when it hears nothing for IDLE_SECONDS."""
        if self.dialect == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
        elif self.dialect in ("mysql", "mariadb"):
            connection.exec_driver_sql(f"SET SESSION wait_timeout = {IDLE_SECONDS}")

    # -- definitions

    def table(self, name: TargetName) -> Table | None:
        """As it is now, with its keys and indexes; None when there is none."""
        with self.translating(), self._engine.connect() as connection:
            try:
                return Table(
                    quoted_name(name[1], True), MetaData(), schema=quoted(name[0]), autoload_with=connection,
                    resolve_fks=False, listeners=[("column_reflect", self._name_column)],
                )  # fmt: skip
            except exc.NoSuchTableError:
                return None
            except exc.DBAPIError as error:
                if is_changed(error):
                    return None
                raise

    def _name_column(self, _inspector: Any, _table: Any, column: Any) -> None:
        """SQLAlchemy leaves the backticks in a column's name as MySQL's definition writes them: twice."""
        if self.dialect in ("mysql", "mariadb"):
            column["name"] = column["name"].replace("``", "`")

    def foreign_keys(self, table: Table) -> list[str]:
        """Those that the target looks at, by what they refer to."""
        if self.dialect == "sqlite" or self._own.foreign_keys != "refuse":
            return []
        with self.translating(), self._engine.connect() as connection:
            found = inspect(connection).get_foreign_keys(table.name, table.schema)
        return sorted({one["referred_table"] for one in found})

    def partial_indexes(self, table: Table) -> set[str]:
        """Names of unique indexes over a part of the rows, or over expressions."""
        with self.translating(), self._engine.connect() as connection:
            indexes = inspect(connection).get_indexes(table.name, table.schema)
        return {
            str(one["name"])
            for one in indexes
            if one.get("expressions") or any(key.endswith("_where") for key in one.get("dialect_options", {}))
        }

    def create(self, table: Table) -> None:
        """If it is not there; its schema too.  Others may do the same meanwhile, which IF NOT EXISTS does not bear."""
        try:
            with self._engine.begin() as connection:
                if table.schema is not None and self.dialect != "sqlite":
                    connection.execute(CreateSchema(quoted_name(table.schema, True), if_not_exists=True))
                connection.execute(CreateTable(table, if_not_exists=True))
        except exc.SQLAlchemyError as error:
            if self.table((table.schema, table.name)) is None:
                raise self._translated(error) from None

    @cached_property
    def collations(self) -> Collection[str]:
        """Those that a MySQL or MariaDB knows; of others none."""
        if self.dialect not in ("mysql", "mariadb"):
            return frozenset()
        with self.translating(), self._engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT COLLATION_NAME FROM information_schema.COLLATIONS")
            return frozenset(found.scalars())

    def made(self, make: Callable[[Connection], Any]) -> Any:
        """What a function gives that asks the target."""
        with self.translating(), self._engine.connect() as connection:
            return make(connection)


def _engine(url: sqlalchemy.URL, own: Settings) -> Engine:
    kind = url.get_backend_name()
    arguments = _arguments(kind, url, own)
    engine = sqlalchemy.create_engine(
        url,
        connect_args=arguments,
        pool_pre_ping=True,
        hide_parameters=True,
        **({} if kind == "sqlite" else {"pool_size": 0}),  # as many as there are threads
        **({"isolation_level": "READ COMMITTED"} if kind in ("mysql", "mariadb", "postgresql") else {}),
    )
    if kind in ("mysql", "mariadb"):
        names: Any = engine.dialect
        names.ischema_names = {**names.ischema_names, **MYSQL_TYPES}
        event.listen(engine, "reset", _unguard)
    if kind == "sqlite":
        event.listen(engine, "begin", _begin)
    statements = _session(kind, own)
    event.listen(engine, "connect", lambda connection, _: _prepare(connection, statements, kind == "sqlite"))
    return engine


def _arguments(kind: str, url: sqlalchemy.URL, own: Settings) -> dict[str, Any]:
    """What the URL itself says counts."""
    seconds = max(2, round(own.timeout_seconds))
    known: dict[str, dict[str, Any]] = {
        "postgresql": {
            "connect_timeout": seconds, "keepalives_idle": seconds, "keepalives_interval": seconds,
            "keepalives_count": 3, "tcp_user_timeout": 1000 * seconds,
        },
        "mysql": {"connect_timeout": seconds, "read_timeout": 3 * seconds, "write_timeout": 3 * seconds,
                  "charset": "utf8mb4"},
        "sqlite": {"timeout": own.timeout_seconds},
    }  # fmt: skip
    return {name: value for name, value in known.get(kind, {}).items() if name not in url.query}


def _session(kind: str, own: Settings) -> list[str]:
    ignore, wait = own.foreign_keys == "ignore", max(1, round(own.timeout_seconds))
    if kind == "postgresql":
        ignoring = ["SET session_replication_role = replica"] if ignore else []
        return [f"SET lock_timeout = '{wait}s'", "SET TimeZone = 'UTC'", *ignoring]
    if kind in ("mysql", "mariadb"):
        waits = f"lock_wait_timeout = {wait}, innodb_lock_wait_timeout = {wait}"
        mode = f"sql_mode = '{_MYSQL_MODE}', time_zone = '+00:00', foreign_key_checks = {0 if ignore else 1}"
        return [f"SET SESSION {mode}, {waits}"]
    return [f"PRAGMA foreign_keys = {'ON' if own.foreign_keys == 'retry' else 'OFF'}"] if kind == "sqlite" else []


def _prepare(connection: Any, statements: list[str], is_sqlite: bool) -> None:
    if is_sqlite:
        connection.isolation_level = None  # transactions are begun by us, with the lock
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    if not is_sqlite:
        connection.commit()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _WRITES in connection.get_execution_options() else "BEGIN")


def _unguard(connection: Any, _: Any, state: Any) -> None:
    """A connection that rests in the pool is not one that was forgotten."""
    if not state.terminate_only:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION wait_timeout = DEFAULT")
