"""
The outbox as the relay sees it: rows that are read and removed, in any database that SQLAlchemy speaks to.

A database that is away is tried again, since reading and removing may be repeated.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import stamina
import structlog
from sqlalchemy import Connection, Engine, exc, inspect, select

from meepo2_cdc.capture.session.outbox import outbox_table
from meepo2_cdc.errors import ConfigError, SourceUnavailable

log = structlog.get_logger()
T = TypeVar("T")
_AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


class Row(NamedTuple):
    """One row of the outbox."""

    id: int
    transaction_id: str
    flushed_at: int
    changes: str


class OutboxRows:
    """The table `name` of a database.  Raises ConfigError where it is missing, SourceUnavailable without an answer."""

    def __init__(self, engine: Engine, name: str, reconnect_seconds: float) -> None:
        self.name = name
        self.address = f"{engine.url.host or engine.url.database}" + (f":{engine.url.port}" if engine.url.port else "")
        # each reading must see what was committed until now, not what was when the transaction began
        level = {} if engine.dialect.name == "sqlite" else {"isolation_level": "READ COMMITTED"}
        self._engine = engine.execution_options(**level)
        self._reconnect_seconds = reconnect_seconds
        self._table = outbox_table(name)
        self._closing = threading.Event()

    def create(self) -> bool:
        """Whether it was not there yet."""

        def create(connection: Connection) -> bool:
            if inspect(connection).has_table(self._table.name, self._table.schema):
                return False
            self._table.create(connection)
            return True

        return self._lasting(create)

    def prepare(self) -> None:
        """Raises ConfigError where the table is not there."""
        there = self._lasting(lambda one: inspect(one).has_table(self._table.name, self._table.schema))
        if not there:
            raise ConfigError(
                f"the database at {self.address} has no table {self.name}",
                fix="`meepo2-cdc relay --create` makes it; docs/sqlalchemy.md has the statement.",
            )

    def read(self, most: int) -> list[Row]:
        """Rows that are committed, by id."""
        table = self._table
        query = select(table.c.id, table.c.transaction_id, table.c.flushed_at, table.c.changes)
        query = query.order_by(table.c.id).limit(most)
        return self._lasting(lambda connection: [Row(*found) for found in connection.execute(query)])

    def remove(self, rows: Sequence[Row]) -> None:
        """Returns when it is committed; rows that are gone already are no error."""
        if not rows:
            return
        table = self._table
        ids, transactions = [row.id for row in rows], list({row.transaction_id for row in rows})
        statement = table.delete().where(table.c.id.in_(ids), table.c.transaction_id.in_(transactions))
        self._lasting(lambda connection: connection.execute(statement))

    def close(self) -> None:
        self._closing.set()
        self._engine.dispose()

    def _lasting(self, work: Callable[[Connection], T]) -> T:
        """In a transaction of its own, and again while the database is away."""
        began = time.monotonic()
        attempts = stamina.retry_context(
            on=_AWAY, attempts=None, timeout=self._reconnect_seconds, wait_initial=0.1, wait_max=2.0
        )
        try:
            for attempt in attempts:
                with attempt:
                    if attempt.num == 2:
                        log.warning("The database of the outbox is away", database=self.address)
                    with self._engine.begin() as connection:
                        return work(connection)
        except _AWAY as error:
            raise SourceUnavailable(
                f"the database at {self.address} does not answer, which was tried for"
                f" {time.monotonic() - began:.0f} s: {str(error.__cause__ or error).strip()}",
                fix="A restart goes on exactly where this one was.",
            ) from error
        raise AssertionError("unreachable")
