"""
Marker rows, by which a database tells whether a transaction was committed.

A transaction inserts its id before anything is recorded in Redis.  Whoever finds it in doubt inserts the same id: that
waits for the transaction while it is open, fails when it was committed, and succeeds when it is gone.  This asks
nothing that one database only knows (PostgreSQL's pg_xact_status, say), and is not mistaken about a transaction that is
still open.  Where Redis could not be reached, the row holds the changes themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Engine, MetaData, String, Table, Text, exc, inspect, select, text
from sqlalchemy.dialects import mysql

from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.capture.session.outbox import text_of
from meepo2_cdc.errors import ConfigError

_LOCK_WAIT = {
    "postgresql": "SET LOCAL lock_timeout = '1s'",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
    "mariadb": "SET SESSION innodb_lock_wait_timeout = 1",
    "sqlite": "PRAGMA busy_timeout = 1000",
}


def marker_table(name: str, metadata: MetaData | None = None) -> Table:
    """The table, `name` may have its schema in front; for a migration tool, give it your own `metadata`."""
    schema, _, bare = name.rpartition(".")
    return Table(
        bare,
        MetaData() if metadata is None else metadata,
        Column("transaction_id", String(32), primary_key=True),
        Column("marked_at", BigInteger, nullable=False),
        Column("first_seq", BigInteger),
        Column("changes", Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")),
        schema=schema or None,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
    )


class Outcome(Enum):
    """What became of a transaction."""

    COMMITTED = "committed"
    GONE = "gone"
    OPEN = "open"


class Marked(NamedTuple):
    """A marker that holds the changes, since Redis could not."""

    transaction_id: str
    marked_at: int
    first_seq: int
    changes: str


class Marks:
    """What a transaction writes about itself."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._table = marker_table(name)

    def mark(self, connection: Connection, transaction: str) -> None:
        try:
            connection.execute(
                self._table.insert().values(transaction_id=transaction, marked_at=time.time_ns() // 1000)
            )
        except exc.DBAPIError as error:
            error.add_note(
                f"Direct delivery of meepo2-cdc needs the table {self._name}, in the same database.  If it is missing:"
                " `meepo2-cdc recover --create`, or the statement in docs/sqlalchemy.md."
            )
            raise

    def keep(self, connection: Connection, transaction: str, first_seq: int, changes: Iterable[Change]) -> None:
        """All changes so far, in place of Redis."""
        values = {"first_seq": first_seq, "changes": text_of(list(changes))}
        connection.execute(self._table.update().where(self._table.c.transaction_id == transaction).values(values))


class Markers:
    """What a recovery asks and removes, from outside of the transactions."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._table = marker_table(name)

    def create(self) -> bool:
        """Whether it was not there yet."""
        with self._engine.begin() as connection:
            if inspect(connection).has_table(self._table.name, self._table.schema):
                return False
            self._table.create(connection)
            return True

    def prepare(self) -> None:
        """Raises ConfigError where the table is not there."""
        with self._engine.connect() as connection:
            if not inspect(connection).has_table(self._table.name, self._table.schema):
                raise ConfigError(
                    f"the database has no table {self._name}",
                    fix="`meepo2-cdc recover --create` makes it; docs/sqlalchemy.md has the statement.",
                )

    def outcome(self, transaction: str) -> Outcome:
        """Never taken back: an open transaction is waited for, for a second."""
        with self._engine.connect() as connection:
            wait = _LOCK_WAIT.get(connection.dialect.name)
            try:
                if wait:
                    connection.execute(text(wait))
                connection.execute(self._table.insert().values(transaction_id=transaction, marked_at=0))
            except exc.IntegrityError:
                return Outcome.COMMITTED
            except exc.OperationalError as error:
                if error.connection_invalidated or not _is_lock(error):
                    raise
                return Outcome.OPEN
            finally:
                connection.rollback()
        return Outcome.GONE

    def changes_of(self, transaction: str) -> str | None:
        """What the marker holds; where it holds something, it knows better than Redis."""
        query = select(self._table.c.changes).where(self._table.c.transaction_id == transaction)
        with self._engine.connect() as connection:
            found: str | None = connection.execute(query).scalar()
            return found

    def kept(self, before_us: int) -> list[Marked]:
        """Markers that hold changes, oldest first."""
        table = self._table
        query = select(table.c.transaction_id, table.c.marked_at, table.c.first_seq, table.c.changes)
        query = query.where(table.c.changes.is_not(None), table.c.marked_at <= before_us).order_by(table.c.marked_at)
        with self._engine.connect() as connection:
            return [Marked(*row) for row in connection.execute(query)]

    def remove(self, transaction: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._table.delete().where(self._table.c.transaction_id == transaction))

    def prune(self, before_us: int, but: Sequence[str]) -> int:
        """Removes markers of settled transactions; those in doubt are still needed."""
        table = self._table
        statement = table.delete().where(table.c.changes.is_(None), table.c.marked_at < before_us)
        if but:
            statement = statement.where(table.c.transaction_id.not_in(list(but)))
        with self._engine.begin() as connection:
            return int(connection.execute(statement).rowcount)


def _is_lock(error: exc.OperationalError) -> bool:
    """A lock that was not had in time: PostgreSQL 55P03, MySQL 1205 and 3572, SQLite "database is locked"."""
    cause = error.orig
    if getattr(cause, "sqlstate", None) == "55P03":
        return True
    arguments: tuple[object, ...] = getattr(cause, "args", ())
    return bool(arguments) and (arguments[0] in (1205, 3572) or "locked" in str(arguments[0]))
