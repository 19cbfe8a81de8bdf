"""
A fresh database for one test, on each of the servers that sessions are tested with.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, func, select, text
from sqlalchemy.engine import URL, make_url

from meepo2_cdc.capture.session.outbox import changes_in, outbox_table
from tests.services import addresses

FLAVORS = ("sqlite", "postgres", "mysql", "mariadb")
Told = tuple[Any, ...]
"""Action, table and the parts of the key."""


class Database:
    """An address, an engine on it, and what its outbox holds."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.engine: Engine = create_engine(url)
        self.begins = "BEGIN"
        if url.drivername == "sqlite":
            self._begin_for_real()
        self._told_to = 0
        self.outbox = outbox_table("meepo2_outbox")
        self.outbox.create(self.engine)

    def _begin_for_real(self) -> None:
        """Python's driver begins late, so a savepoint may become the transaction; this is SQLAlchemy's own advice."""

        @event.listens_for(self.engine, "connect")
        def _(connection: Any, _: Any) -> None:
            connection.isolation_level = None

        @event.listens_for(self.engine, "begin")
        def _(connection: Any) -> None:
            connection.exec_driver_sql(self.begins)

    @property
    def dsn(self) -> str:
        return self.url.render_as_string(hide_password=False)

    @property
    def schema(self) -> str:
        """What records call the schema of a table that names none."""
        return {"sqlite": "main", "postgresql": "public"}.get(self.engine.dialect.name, str(self.url.database))

    def told(self) -> list[Told]:
        """The changes that came into the outbox since this was asked last."""
        table = self.outbox
        query = select(table.c.id, table.c.changes).where(table.c.id > self._told_to).order_by(table.c.id)
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        self._told_to = rows[-1].id if rows else self._told_to
        return [(one.action.value, one.table, *one.pk) for row in rows for one in changes_in(row.changes)]

    def waiting(self) -> int:
        """How many rows the outbox has."""
        with self.engine.connect() as connection:
            query = select(func.count()).select_from(self.outbox).where(self.outbox.c.id > self._told_to)
            return int(connection.execute(query).scalar_one())


@contextmanager
def fresh(flavor: str, directory: Path) -> Iterator[Database]:
    if flavor == "sqlite":
        made = Database(URL.create("sqlite", database=str(directory / "app.db")))
        try:
            yield made
        finally:
            made.engine.dispose()
        return
    address = addresses.address(flavor)
    assert address is not None, f"no {flavor}: run `python -m tests.services up {flavor}`"
    driver = "postgresql+psycopg" if flavor == "postgres" else "mysql+pymysql"
    server = make_url(address).set(drivername=driver)
    with on(server) as found:
        yield found


@contextmanager
def on(server: URL) -> Iterator[Database]:
    """A database of its own on a server."""
    name = f"s_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    made = Database(server.set(database=name))
    try:
        yield made
    finally:
        made.engine.dispose()
        admin.dispose()  # the server may have been started anew
        with admin.connect() as connection:
            force = " with (force)" if server.drivername.startswith("postgresql") else ""
            connection.execute(text(f"drop database {name}{force}"))
        admin.dispose()
