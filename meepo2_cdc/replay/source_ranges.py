"""
The rows of a table of MySQL or MariaDB in the order of its key, some at a time.

Makes statements, and asks through the connection that it is given.  A place is a key as the server compares it: for an
ENUM or a SET that is its number, for all others what keys are asked for with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection
from sqlalchemy.dialects import mysql

from meepo2_cdc.replay.source_tables import SourceTable, without_loss

_BITS = 64


class Place(NamedTuple):
    """Behind which row of a table; `key` names the columns by which it was taken."""

    key: tuple[str, ...]
    values: tuple[Any, ...]


def rows_behind(
    connection: Connection, known: SourceTable, place: Place | None, limit: int
) -> tuple[list[dict[str, Any]], Place | None]:
    """The next rows, and the place of the last one; that is None when there were none."""
    names = [column.name for column in known.table.columns]
    quote = connection.dialect.identifier_preparer.quote_identifier
    read = [without_loss(column.type, quote(column.name)) for column in known.table.columns]
    found = _ask(connection, known, [*read, *_numbers(connection, known)], place, f"LIMIT {limit}")
    rows = [dict(zip(names, values, strict=False)) for values in found]
    return rows, _place(known, rows[-1], found[-1][len(names) :]) if rows else None


def place_behind(connection: Connection, known: SourceTable, place: Place | None, rows: int) -> Place | None:
    """The place so many rows further, without reading them; None when there are fewer."""
    names = [column.name for column in known.table.primary_key.columns]
    quote = connection.dialect.identifier_preparer.quote_identifier
    read = [without_loss(column.type, quote(column.name)) for column in known.table.primary_key.columns]
    found = _ask(connection, known, [*read, *_numbers(connection, known)], place, f"LIMIT 1 OFFSET {rows - 1}")
    if not found:
        return None
    return _place(known, dict(zip(names, found[0], strict=False)), found[0][len(names) :])


def _ask(
    connection: Connection, known: SourceTable, columns: Sequence[str], place: Place | None, end: str
) -> Sequence[Any]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    key = [_compared(one, quote(one.name)) for one in known.table.primary_key.columns]
    where, values = ("", ()) if place is None else _behind(key, place.values)
    table = f"{quote(str(known.table.schema))}.{quote(known.table.name)}"
    statement = f"SELECT {', '.join(columns)} FROM {table}{where} ORDER BY {', '.join(key)} {end}"  # noqa: S608
    return connection.exec_driver_sql(statement, values).fetchall()


def _compared(one: Column[Any], name: str) -> str:
    """The number of a SET of all 64 labels is taken for negative where it is not cast; its index is of no use then."""
    if isinstance(one.type, mysql.SET) and len(one.type.values) == _BITS:
        return f"CAST({name} AS UNSIGNED)"
    return name


def _behind(key: Sequence[str], values: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The first condition says what the others say too, so that the key's index is entered at its place."""
    later, parameters = [], list(values[:1])
    for n, name in enumerate(key):
        later.append("(" + " AND ".join([*(f"{one} = %s" for one in key[:n]), f"{name} > %s"]) + ")")
        parameters += values[: n + 1]
    return f" WHERE {key[0]} >= %s AND ({' OR '.join(later)})", tuple(parameters)


def _numbers(connection: Connection, known: SourceTable) -> list[str]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    return [
        f"CAST({quote(one.name)} AS UNSIGNED)"
        for one in known.table.primary_key.columns
        if isinstance(one.type, mysql.ENUM | mysql.SET)
    ]


def _place(known: SourceTable, row: dict[str, Any], numbers: Sequence[Any]) -> Place:
    rest = iter(numbers)
    columns = known.table.primary_key.columns
    bound = known.key.bound_of_row(row)
    values = tuple(
        next(rest) if isinstance(column.type, mysql.ENUM | mysql.SET) else value
        for column, value in zip(columns, bound, strict=True)
    )
    return Place(known.key.names, values)
