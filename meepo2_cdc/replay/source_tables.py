"""
A table as its database defines it now, and the statements that read its rows by key.

Knows what reading a column plainly would lose, and how to notice that a table was altered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    bindparam,
    exc,
    inspect,
    select,
    text,
    tuple_,
)
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql
from sqlalchemy.sql.elements import quoted_name

from meepo2_cdc.replay.keys import Bound, KeyForm
from meepo2_cdc.replay.sql_errors import is_no_such_table

_AUTO_INCREMENT = re.compile(r" AUTO_INCREMENT=[0-9]+")


Ask = Callable[[Connection, Sequence[tuple[Bound, ...]]], Iterable[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Query:
    """
    A SELECT of these columns by key: `ask(connection, keys)` gives the values of each row, in the order of `columns`.

    Keys are as KeyForm binds them, and at least one.
    """

    columns: tuple[str, ...]
    ask: Ask


@dataclass(frozen=True, slots=True)
class SourceTable:
    """
    What is known of a table: its key, how whole rows are read by key, and how the key's columns alone.

    `definition` is what `definition()` gave when this was made.
    """

    table: Table
    definition: str
    key: KeyForm
    rows: Query
    keys: Query


def definition(connection: Connection, schema: str, name: str) -> str | None:
    """
    A text that differs when columns, their types or the key differ; None when there is no such table.

    MySQL and MariaDB have such a text; for others it is made from their catalogs.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return _catalog_text(connection, schema, name)
    quote = connection.dialect.identifier_preparer.quote_identifier
    try:
        shown = connection.exec_driver_sql(f"SHOW CREATE TABLE {quote(schema)}.{quote(name)}").one()
    except exc.DBAPIError as error:
        if is_no_such_table(error):
            return None
        raise
    return _AUTO_INCREMENT.sub("", str(shown[1]))


def _catalog_text(connection: Connection, schema: str, name: str) -> str | None:
    catalog = inspect(connection)
    try:
        columns = [(one["name"], repr(one["type"]), one["nullable"]) for one in catalog.get_columns(name, schema)]
        return f"{columns} {catalog.get_pk_constraint(name, schema)['constrained_columns']}"
    except exc.NoSuchTableError:
        return None


def source_table(connection: Connection, schema: str, name: str) -> SourceTable | None:
    """The table as it is now, or None when there is none.  It may be altered meanwhile: see SourceTable.definition."""
    shown = definition(connection, schema, name)
    if shown is None:
        return None
    as_text = connection.dialect.name in ("mysql", "mariadb")
    try:
        table = Table(
            quoted_name(name, True),
            MetaData(),
            schema=quoted_name(schema, True),
            autoload_with=connection,
            resolve_fks=False,
            listeners=[("column_reflect", _unescape)] if as_text else [],
        )
    except exc.NoSuchTableError:
        return None
    if as_text and not table.primary_key.columns:
        _take_unique_key(connection, table)
    make = partial(_mysql_query, connection.dialect.identifier_preparer.quote_identifier) if as_text else _query
    key = list(table.primary_key.columns)
    return SourceTable(
        table, shown, KeyForm(table, as_text=as_text), make(table, list(table.columns)), make(table, key)
    )


def _unescape(_inspector: Any, _table: Any, column: Any) -> None:
    """SQLAlchemy leaves the backticks in a column's name as the definition writes them: twice."""
    column["name"] = column["name"].replace("``", "`")


def _query(table: Table, columns: Sequence[Column[Any]]) -> Query:
    """Values come as SQLAlchemy makes them of the columns' types."""
    key = list(table.primary_key.columns)
    wanted: BindParameter[Any] = bindparam("keys", expanding=True)
    statement = select(*columns)
    if key:
        statement = statement.where(key[0].in_(wanted) if len(key) == 1 else tuple_(*key).in_(wanted))

    def ask(connection: Connection, keys: Sequence[tuple[Bound, ...]]) -> Iterable[Sequence[Any]]:
        return connection.execute(statement, {"keys": keys if len(key) > 1 else [one[0] for one in keys]})

    return Query(tuple(column.name for column in columns), ask)


def _mysql_query(quote: Callable[[str], str], table: Table, columns: Sequence[Column[Any]]) -> Query:
    """
    Values come as PyMySQL makes them.

    SQLAlchemy's types would round a DOUBLE to ten decimals, cut a TIME at 24 hours and put the labels of a SET into
    no order.  A key of several columns is compared with OR and AND, since MariaDB does not find all rows for
    (a, b) IN ((...), (...)) where a text is of another character set than the connection.
    """
    read = ", ".join(without_loss(column.type, quote(column.name)) for column in columns)
    begin = f"SELECT {read} FROM {quote(str(table.schema))}.{quote(table.name)} WHERE "  # noqa: S608  quoted names only
    key = [quote(column.name) for column in table.primary_key.columns]
    one = f"({' AND '.join(f'{name} = %s' for name in key)})"

    def ask(connection: Connection, keys: Sequence[tuple[Bound, ...]]) -> Iterable[Sequence[Any]]:
        found = f"{key[0]} IN ({', '.join(['%s'] * len(keys))})" if len(key) == 1 else " OR ".join([one] * len(keys))
        return connection.exec_driver_sql(begin + found, tuple(chain.from_iterable(keys)))

    return Query(tuple(column.name for column in columns), ask)


def without_loss(kind: sql.TypeEngine[Any], name: str) -> str:
    """
    A column as it is read, by its quoted name.

    MySQL shows six digits of a FLOAT; PyMySQL takes a VECTOR for text; the bits of a BIT make a number.
    """
    if isinstance(kind, mysql.FLOAT):
        return f"{name} + 0e0"
    if isinstance(kind, mysql.BIT):
        return f"{name} + 0"
    return f"CAST({name} AS BINARY)" if isinstance(kind, Vector) else name


_UNIQUE_KEYS = text("""
SELECT s.INDEX_NAME, s.COLUMN_NAME, c.COLUMN_KEY
FROM information_schema.STATISTICS s LEFT JOIN information_schema.COLUMNS c
  ON c.TABLE_SCHEMA = s.TABLE_SCHEMA AND c.TABLE_NAME = s.TABLE_NAME AND c.COLUMN_NAME = s.COLUMN_NAME
WHERE s.TABLE_SCHEMA = :schema AND s.TABLE_NAME = :name AND s.NON_UNIQUE = 0
ORDER BY s.INDEX_NAME, s.SEQ_IN_INDEX
""")


def _take_unique_key(connection: Connection, table: Table) -> None:
    """Without a primary key the server takes a unique one for it, and so does its log; it shows that key as PRI."""
    keys: dict[str, list[tuple[str, str]]] = {}
    for index, column, shown in connection.execute(_UNIQUE_KEYS, {"schema": table.schema, "name": table.name}):
        keys.setdefault(index, []).append((column, shown))
    for columns in keys.values():
        if all(shown == "PRI" for _, shown in columns):
            table.append_constraint(PrimaryKeyConstraint(*(table.columns[name] for name, _ in columns)))
            return


# -- types that SQLAlchemy does not know


class Vector(sql.UserDefinedType[bytes]):
    """VECTOR: its numbers as 32-bit floats, little-endian, in bytes."""

    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def get_col_spec(self, **_: Any) -> str:
        return "VECTOR" if self.length is None else f"VECTOR({self.length})"


class Geometry(sql.UserDefinedType[bytes]):
    """GEOMETRY and its kin: four bytes of SRID, little-endian, then well-known binary."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "GEOMETRY"


MYSQL_TYPES: dict[str, Any] = {
    "vector": Vector,
    "inet4": mysql.INET4,
    "inet6": mysql.INET6,
    **dict.fromkeys(
        (
            "geometry",
            "point",
            "linestring",
            "polygon",
            "multipoint",
            "multilinestring",
            "multipolygon",
            "geometrycollection",
            "geomcollection",
        ),
        Geometry,
    ),
}
"""By the name in a definition; for the dialect's `ischema_names`."""
