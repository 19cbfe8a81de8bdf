"""
Databases that are written to: a fresh one for each test, on a real server or in a file.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, make_url

from tests.proxy import Proxy
from tests.services import addresses

SERVERS = ("postgres", "mysql", "mariadb")
TARGETS = (*SERVERS, "sqlite")
_DRIVERS = {"postgres": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}


class TargetDatabase:
    """Its URL as a user would give it, and ways to look into it."""

    def __init__(self, kind: str, url: URL) -> None:
        self.kind = kind
        self.url = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False)
        self._direct = url
        self._engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)

    def run(self, *statements: str) -> None:
        with self._engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def connect(self) -> sqlalchemy.Connection:
        return self._engine.connect()

    @property
    def quote(self) -> Any:
        return self._engine.dialect.identifier_preparer.quote_identifier


@contextmanager
def database(kind: str, directory: Path) -> Iterator[TargetDatabase]:
    """An empty one."""
    if kind == "sqlite":
        yield TargetDatabase(kind, make_url(f"sqlite:///{directory}/target-{uuid.uuid4().hex[:8]}.db?timeout=1"))
        return
    given = addresses.address(kind)
    assert given is not None, f"no {kind}: run `python -m tests.services up {kind}`"
    with database_on(kind, given) as made:
        yield made


@contextmanager
def database_on(kind: str, address: str) -> Iterator[TargetDatabase]:
    """The same on a server whose address is given."""
    name = f"target_{uuid.uuid4().hex[:10]}"
    server = make_url(address).set(drivername=_DRIVERS[kind])
    owner = TargetDatabase(kind, server)
    owner.run(f"CREATE DATABASE {name}" + ("" if kind == "postgres" else " CHARACTER SET utf8mb4"))
    try:
        yield TargetDatabase(kind, server.set(database=name))
    finally:
        owner.run(f"DROP DATABASE {name}" + (" WITH (FORCE)" if kind == "postgres" else ""))


class Link:
    """The way to a target, which can be closed and opened."""

    def __init__(self, target: TargetDatabase, stack: ExitStack) -> None:
        self._target = target
        self._closed = stack.enter_context(ExitStack())
        self._proxy: Proxy | None = None
        self.url = target.url
        if target.kind != "sqlite":
            url = make_url(target.url)
            self._proxy = stack.enter_context(Proxy(url.host or "", url.port or 0))
            self.url = url.set(host="127.0.0.1", port=self._proxy.port).render_as_string(hide_password=False)

    def close(self) -> None:
        if self._proxy is not None:
            self._closed.enter_context(self._proxy.refusing())
        else:  # somebody else has the file for himself
            other = self._closed.enter_context(self._target.connect())
            other.exec_driver_sql("BEGIN EXCLUSIVE")
            self._closed.callback(other.exec_driver_sql, "ROLLBACK")

    def open(self) -> None:
        self._closed.close()


def rows_of(target: TargetDatabase, table: str, columns: Sequence[str] = ("*",)) -> list[tuple[Any, ...]]:
    """All rows, in one order."""
    return sorted(target.ask(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)
