"""
The connector in a test: opened on a target, with rows of a source that is a server or made up.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table
from sqlalchemy.dialects import mysql

from meepo2_cdc.records import KeyPart, TableAction
from meepo2_cdc.replay.rows import SourceRows
from meepo2_cdc.replay.sink import Context, Rejected, Sink
from meepo2_cdc.testing import Changes, InMemoryRows
from meepo2_connectors.sql_replicator import connector
from meepo2_connectors.sql_replicator.settings import Settings
from tests.connectors import sql_targets
from tests.connectors.sql_targets import TargetDatabase
from tests.scenes import Server

Pk = tuple[KeyPart, ...]
Row = dict[str, Any]


def sink(url: str, rows: Any, **settings: object) -> Sink:
    own = Settings.model_validate({"target_url": url, "timeout_seconds": 2, **settings})
    return connector.sink(own, Context("shop", source_rows=lambda: rows))


@contextmanager
def opened(url: str, rows: Any, **settings: object) -> Iterator[Sink]:
    one = sink(url, rows, **settings)
    one.open()
    try:
        yield one
    finally:
        one.close()


def apply(url: str, rows: Any, *batches: Sequence[TableAction], **settings: object) -> None:
    """All by one sink, one after the other."""
    with opened(url, rows, **settings) as one:
        for batch in batches:
            one.apply(batch)


def source_table(*columns: Column[Any], name: str = "user", key: Sequence[str] = ("id",)) -> Table:
    return Table(name, MetaData(), *columns, PrimaryKeyConstraint(*key), schema="shop")


@contextmanager
def source_database(server: Server) -> Iterator[tuple[str, SourceRows]]:
    """A new database of the source, and its rows."""
    name = f"source_{uuid.uuid4().hex[:10]}"
    server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    rows = SourceRows(server.dsn)
    try:
        yield name, rows
    finally:
        rows.close()
        server.run(f"DROP DATABASE {name}")


def applied(one: Sink, batch: Sequence[TableAction]) -> dict[Pk, str]:
    """What the sink rejects of it, each with the reason, the rest being applied."""
    rejected: dict[Pk, str] = {}
    while rest := [record for record in batch if record.pk not in rejected]:
        try:
            one.apply(rest)
            break
        except Rejected as error:
            rejected |= {record.pk: error.why for record in error.records}
    return rejected


MAPPED = {"tables": {"shop.user": "users"}}


def text() -> Column[Any]:
    return Column("name", mysql.VARCHAR(40))


class Shop:
    """The source's shop.user in memory, and what the connector makes of it in `database`."""

    def __init__(self, database: TargetDatabase, *columns: Column[Any], name: str = "user") -> None:
        self.database, self.name = database, name
        self.table = source_table(Column("id", mysql.INTEGER()), *columns, name=name)
        self.rows = InMemoryRows([self.table])
        self.changes = Changes("shop", name)

    def put(self, id_: int, **values: Any) -> TableAction:
        columns = {column.name: None for column in self.table.columns}
        self.rows.put("shop", self.name, (id_,), {**columns, "id": id_, **values})
        return self.changes.write(id_)

    def remove(self, id_: int) -> TableAction:
        self.rows.remove("shop", self.name, (id_,))
        return self.changes.delete(id_)

    def sink(self, **settings: Any) -> AbstractContextManager[Sink]:
        return opened(self.database.url, self.rows, **settings)

    def held(self, columns: str = "*", table: str = "users") -> list[tuple[Any, ...]]:
        return sql_targets.rows_of(self.database, table, [columns])
