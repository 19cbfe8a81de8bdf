"""
Rows of the target by their keys, in a form in which they can be compared with what was to be written.

Knows how each dialect is asked without loss; knows nothing of the source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import sqlalchemy
from sqlalchemy import Column, Connection, column, select, tuple_
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.elements import quoted_name

from meepo2_cdc.replay.source_tables import without_loss
from meepo2_connectors.sql_replicator.created import quoted
from meepo2_connectors.sql_replicator.statements import READABLE, Shape, Values, array_types

KEYS_AT_ONCE = 1000


class FoundRows:
    """For dialects that are not known here, and SQLite."""

    def __init__(self, connection: Connection, shape: Shape) -> None:
        self._shape = shape
        names = [quoted_name(name, True) for name in shape.columns]
        table = sqlalchemy.table(
            quoted_name(shape.table.name, True), *(column(name) for name in names), schema=quoted(shape.table.schema)
        )
        self._columns: list[Any] = [table.c[name] for name in names]
        self._key = [self._columns[n] for n in shape.key]

    def read(self, connection: Connection, keys: Sequence[Values]) -> Iterator[Sequence[Any]]:
        """The rows of these keys, each with the values of `shape.columns`; also those that only the target takes for
        equal to a key."""
        for begin in range(0, len(keys), KEYS_AT_ONCE):
            yield from self._read(connection, keys[begin : begin + KEYS_AT_ONCE])

    def _read(self, connection: Connection, keys: Sequence[Values]) -> Iterable[Sequence[Any]]:
        if len(self._key) == 1:
            return connection.execute(
                select(*self._columns).where(self._key[0].in_([key[0] for key in keys]))
            ).fetchall()
        return connection.execute(select(*self._columns).where(tuple_(*self._key).in_(keys))).fetchall()


class PostgresFoundRows(FoundRows):
    """Each column of the keys is one parameter, an array."""

    def __init__(self, connection: Connection, shape: Shape) -> None:
        super().__init__(connection, shape)
        quote = connection.dialect.identifier_preparer.quote_identifier
        table = connection.dialect.identifier_preparer.format_table(shape.table)
        types = array_types(connection, shape)
        read = [_as_text(f"t.{quote(name)}", shape.table.columns[name]) for name in shape.columns]
        arrays = ", ".join(f"%s::{types[n]}[]" for n in shape.key)
        names = ", ".join(f"v{n}" for n in range(len(shape.key)))
        same = " AND ".join(f"t.{quote(shape.columns[n])} = v{at}" for at, n in enumerate(shape.key))
        # not a join: that could be planned as one over all of the table
        self._select = (
            f"SELECT {', '.join(read)} FROM unnest({arrays}) AS v({names}),"  # noqa: S608  quoted names only
            f" LATERAL (SELECT * FROM {table} AS t WHERE {same} OFFSET 0) AS t"
        )

    def _read(self, connection: Connection, keys: Sequence[Values]) -> Iterable[Sequence[Any]]:
        return connection.exec_driver_sql(self._select, tuple(map(list, zip(*keys, strict=True)))).fetchall()


def _as_text(name: str, one: Column[Any]) -> str:
    """What the driver would make an object of, as the text that the server has for it."""
    if isinstance(one.type, pg.INET):
        return f"host({name})"
    return name if isinstance(one.type, READABLE) else f"{name}::text"


class MysqlFoundRows(FoundRows):
    def __init__(self, connection: Connection, shape: Shape) -> None:
        super().__init__(connection, shape)
        quote = connection.dialect.identifier_preparer.quote_identifier
        table = connection.dialect.identifier_preparer.format_table(shape.table)
        read = ", ".join(without_loss(shape.table.columns[name].type, quote(name)) for name in shape.columns)
        self._begin = f"SELECT {read} FROM {table} WHERE "  # noqa: S608  quoted names only
        self._names = [quote(shape.columns[n]) for n in shape.key]
        self._one = f"({' AND '.join(f'{name} = %s' for name in self._names)})"

    def _read(self, connection: Connection, keys: Sequence[Values]) -> Iterable[Sequence[Any]]:
        """OR in the place of IN, see `source_tables`."""
        if len(self._names) == 1:
            where = f"{self._names[0]} IN ({', '.join(['%s'] * len(keys))})"
        else:
            where = " OR ".join([self._one] * len(keys))
        return connection.exec_driver_sql(self._begin + where, tuple(chain.from_iterable(keys))).fetchall()


FOUND: dict[str, type[FoundRows]] = {
    "postgresql": PostgresFoundRows,
    "mysql": MysqlFoundRows,
    "mariadb": MysqlFoundRows,
}
