"""
The statements by which rows of one table are written and deleted, many at a time, in each dialect's own way.

    PostgreSQL       INSERT ... SELECT unnest(arrays) ON CONFLICT DO UPDATE: one array for each column
    MySQL, MariaDB   INSERT ... VALUES (...), (...) ON DUPLICATE KEY UPDATE
    SQLite           INSERT ... ON CONFLICT DO UPDATE, prepared once
    others           DELETE, then INSERT

Names are quoted by SQLAlchemy, values are parameters.  Knows nothing of where rows come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import sqlalchemy
from sqlalchemy import Column, Connection, Table, and_, bindparam, cast, column, delete, func, insert, not_, or_, select
from sqlalchemy import types as sql
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import quoted_name

from meepo2_connectors.sql_replicator.created import quoted
from meepo2_connectors.sql_replicator.refusals import Refusal

Values = tuple[Any, ...]
STATEMENT_CHARACTERS = 1 << 20
"""About how long a statement of MySQL becomes at most, unless a single row is longer: max_allowed_packet is 4 MiB or
more in all of its versions."""
_OVERHEAD = 12
READABLE = (
    sql.Integer, sql.Numeric, sql.Float, sql.String, sql.LargeBinary, sql.Date, sql.DateTime, sql.Time, sql.Interval,
    sql.Boolean, pg.BIT, pg.INTERVAL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """A target's table, the columns that are written, and which of these (by number) its rows are found by."""

    table: Table
    columns: tuple[str, ...]
    key: tuple[int, ...]
    uniques: tuple[tuple[int, ...], ...]
    """Other unique keys, as far as they consist of these columns."""
    has_others: bool
    """Whether there are other unique keys at all."""


class Statements:
    """For dialects without an upsert that is known here; what the others have in common."""

    def __init__(self, connection: Connection, shape: Shape) -> None:
        self.shape = shape
        names = [quoted_name(name, True) for name in shape.columns]
        # without types, so that values are handed over as they are
        self._table = sqlalchemy.table(
            quoted_name(shape.table.name, True), *(column(name) for name in names), schema=quoted(shape.table.schema)
        )
        self._columns: list[Any] = [self._table.c[name] for name in names]
        self._key = [self._columns[n] for n in shape.key]
        self._delete = delete(self._table).where(*(one == bindparam(f"k{n}") for n, one in enumerate(self._key)))
        self._insert: Any = insert(self._table).values({one: bindparam(f"c{n}") for n, one in enumerate(self._columns)})

    def upsert(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Each row has the values of `shape.columns`."""
        self.delete(connection, [self.key_of(row) for row in rows])
        connection.execute(self._insert, [_numbered("c", row) for row in rows])

    def delete(self, connection: Connection, keys: Sequence[Values]) -> None:
        connection.execute(self._delete, [_numbered("k", key) for key in keys])

    def key_of(self, row: Values) -> Values:
        return tuple(row[n] for n in self.shape.key)

    def keys(self, connection: Connection) -> Iterator[Sequence[Any]]:
        """The keys of all rows, as the driver gives them."""
        return iter(connection.execute(select(*self._read_key())))

    def holders(self, connection: Connection, row: Values) -> list[Sequence[Any]]:
        """The keys of other rows that have this one's values in a unique key."""
        taken = [
            and_(*(self._columns[n] == row[n] for n in unique))
            for unique in self.shape.uniques
            if all(row[n] is not None for n in unique)
        ]
        if not taken:
            return []
        own = and_(*(one == value for one, value in zip(self._key, self.key_of(row), strict=True)))
        return list(connection.execute(select(*self._read_key()).where(or_(*taken), not_(own))))

    def _read_key(self) -> list[Any]:
        return self._key


class SqliteStatements(Statements):
    def __init__(self, connection: Connection, shape: Shape) -> None:
        super().__init__(connection, shape)
        statement = sqlite.insert(self._table).values({one: bindparam(f"c{n}") for n, one in enumerate(self._columns)})
        rest = {one: statement.excluded[one.name] for n, one in enumerate(self._columns) if n not in shape.key}
        self._insert = (
            statement.on_conflict_do_update(index_elements=self._key, set_=rest)
            if rest
            else statement.on_conflict_do_nothing(index_elements=self._key)
        )

    def upsert(self, connection: Connection, rows: Sequence[Values]) -> None:
        connection.execute(self._insert, [_numbered("c", row) for row in rows])


class PostgresStatements(Statements):
    """A column is one parameter, an array: there are no thousands of placeholders to bind."""

    def __init__(self, connection: Connection, shape: Shape) -> None:
        super().__init__(connection, shape)
        quote = connection.dialect.identifier_preparer.quote_identifier
        columns = [quote(name) for name in shape.columns]
        key = [columns[n] for n in shape.key]
        table = connection.dialect.identifier_preparer.format_table(self._table)
        types = array_types(connection, shape)
        rest = [f"{name} = EXCLUDED.{name}" for n, name in enumerate(columns) if n not in shape.key]
        arrays = [f"%s::{kind}[]" for kind in types]
        values = ", ".join(f"v{n}" for n in range(len(columns)))
        # OVERRIDING: a key that the target would number by itself
        self._upsert = (
            f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE"  # noqa: S608  quoted names only
            f" SELECT {values} FROM unnest({', '.join(arrays)}) AS v({values})"
            f" ON CONFLICT ({', '.join(key)}) DO {'UPDATE SET ' + ', '.join(rest) if rest else 'NOTHING'}"
        )
        keys = ", ".join(f"v{n}" for n in range(len(key)))
        same = " AND ".join(f"t.{name} = v{n}" for n, name in enumerate(key))
        self._delete_all = (
            f"DELETE FROM {table} AS t USING unnest({', '.join(arrays[n] for n in shape.key)})"  # noqa: S608
            f" AS v({keys}) WHERE {same}"
        )

    def upsert(self, connection: Connection, rows: Sequence[Values]) -> None:
        connection.exec_driver_sql(self._upsert, tuple(map(list, zip(*rows, strict=True))))

    def delete(self, connection: Connection, keys: Sequence[Values]) -> None:
        connection.exec_driver_sql(self._delete_all, tuple(map(list, zip(*keys, strict=True))))

    def _read_key(self) -> list[Any]:
        kinds = [self.shape.table.columns[one.name].type for one in self._key]
        return [_as_read(one, kind) for one, kind in zip(self._key, kinds, strict=True)]


def _as_read(one: Any, kind: sql.TypeEngine[Any]) -> Any:
    """What the driver makes an object of, as the text that the server has for it."""
    if isinstance(kind, pg.INET):
        return func.host(one)
    return one if isinstance(kind, READABLE) else cast(one, sql.Text)


def array_types(connection: Connection, shape: Shape) -> list[str]:
    """
    The columns' types without their length: a cast to varchar(3) would cut, where the assignment refuses.

    As SQL that PostgreSQL itself has quoted.
    """
    table = connection.dialect.identifier_preparer.format_table(shape.table).replace("%%", "%")
    found = connection.exec_driver_sql(
        "SELECT a.attname, format_type(COALESCE(NULLIF(t.typbasetype, 0), a.atttypid), -1)"
        " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped",
        (table,),
    )
    types = {name: str(kind).replace("%", "%%") for name, kind in found}
    return [types[name] for name in shape.columns]


class MysqlStatements(Statements):
    """
    ON DUPLICATE KEY UPDATE changes whatever row is in the way, and by another unique key that is another row.

    So where there are others, the key is compared first; a subquery of two rows is how an expression says no.
    """

    def __init__(self, connection: Connection, shape: Shape) -> None:
        super().__init__(connection, shape)
        quote = connection.dialect.identifier_preparer.quote_identifier
        columns = [quote(name) for name in shape.columns]
        table = connection.dialect.identifier_preparer.format_table(self._table)
        self._begin = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608  quoted names only
        self._row = f"({', '.join(['%s'] * len(columns))})"
        key = [columns[n] for n in shape.key]
        # the key too: of a text that is equal to the database, the new spelling counts
        updates = [f"{name} = VALUES({name})" for name in columns]
        if shape.has_others:
            same = " AND ".join(f"{name} = VALUES({name})" for name in key)
            updates.insert(0, f"{key[0]} = IF({same}, VALUES({key[0]}), (SELECT 1 UNION ALL SELECT 2))")
        self._end = " ON DUPLICATE KEY UPDATE " + ", ".join(updates)
        self._is_text = [isinstance(_type(shape, n), sql.String) for n in shape.key]
        parts = [
            f"{name} = %s AND CAST(CONVERT({name} USING utf8mb4) AS BINARY) = %s" if text else f"{name} = %s"
            for name, text in zip(key, self._is_text, strict=True)
        ]
        self._packet_bytes = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one())
        self._delete_where = f"DELETE FROM {table} WHERE "  # noqa: S608
        self._one = f"({' AND '.join(parts)})"

    def upsert(self, connection: Connection, rows: Sequence[Values]) -> None:
        for part in _portions(rows):
            statement = self._begin + ", ".join([self._row] * len(part)) + self._end
            values = tuple(chain.from_iterable(part))
            if len(part) == 1 and _characters(part[0]) > self._packet_bytes // 4:
                self._refuse_longer(connection, statement, values)
            connection.exec_driver_sql(statement, values)

    def delete(self, connection: Connection, keys: Sequence[Values]) -> None:
        """Exactly these: an equal text that is spelled otherwise may be another row's key in the source."""
        for part in _portions(keys):
            where = " OR ".join([self._one] * len(part))
            connection.exec_driver_sql(self._delete_where + where, tuple(chain.from_iterable(map(self._bound, part))))

    def _refuse_longer(self, connection: Connection, statement: str, values: Values) -> None:
        """The server would end the connection, which looks as if it were away, and would do so for ever."""
        raw: Any = connection.connection
        with raw.cursor() as cursor:
            size = len(cursor.mogrify(statement, values).encode(errors="surrogateescape"))
        if size >= self._packet_bytes:
            raise Refusal(f"a row of {size} bytes is longer than max_allowed_packet ({self._packet_bytes})", "value")

    def _bound(self, key: Values) -> Values:
        parts = zip(key, self._is_text, strict=True)
        return tuple(chain.from_iterable((one, str(one).encode()) if text else (one,) for one, text in parts))


def _type(shape: Shape, number: int) -> sql.TypeEngine[Any]:
    kind: Column[Any] = shape.table.columns[shape.columns[number]]
    return kind.type


def _portions(rows: Sequence[Values]) -> Iterator[list[Values]]:
    """Some at a time, so that no statement becomes too long for the server."""
    part: list[Values] = []
    size = 0
    for row in rows:
        length = _characters(row)
        if part and size + length > STATEMENT_CHARACTERS:
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part


def _characters(row: Values) -> int:
    return sum(_OVERHEAD + (len(value) if isinstance(value, str | bytes) else 0) for value in row)


def _numbered(letter: str, values: Values) -> dict[str, Any]:
    return {f"{letter}{n}": value for n, value in enumerate(values)}


STATEMENTS: dict[str, type[Statements]] = {
    "postgresql": PostgresStatements,
    "sqlite": SqliteStatements,
    "mysql": MysqlStatements,
    "mariadb": MysqlStatements,
}
