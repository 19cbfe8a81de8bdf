"""
A table as its snapshot reads it: its key's columns, and the queries for the next rows by key.

Knows SQL; runs none but through what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import ER

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.definitions import Definitions
from meepo2_cdc.capture.binlog.keyparts import TextDecoder
from meepo2_cdc.capture.snapshot.keytext import KeyText, key_text, quoted
from meepo2_cdc.errors import Error, UnreadableData
from meepo2_cdc.records import wire
from meepo2_cdc.records.snapshot import KeyValues, TableName
from meepo2_cdc.table_filter import TableFilter

Ask = Callable[..., list[dict[str, Any]]]

_LARGE_KEY_ROWS = 200
"""Keys over the beginning of a BLOB carry the whole value."""
_AUTO_INCREMENT = re.compile(r" AUTO_INCREMENT=\d+")
_NO_TABLE = (ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR, ER.BAD_TABLE_ERROR, ER.WRONG_OBJECT)
_DENIED = (ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, 1227)


class Refused(Error):
    """A table that cannot be snapshotted as it is; the others can."""


class Gone(Error):
    """A table that does not exist, or no more."""


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """
    `created` is its definition as the server spells it, by which a change is seen; `key` names the key's columns and
    types.
    """

    name: TableName
    created: str
    key: str
    index: str
    parts: tuple[KeyText, ...]
    largest_chunk: int | None

    @property
    def columns(self) -> int:
        """How many a row of `select` has."""
        return len(self.parts) + sum(part.place is not None for part in self.parts)

    def select(self, after: KeyValues | None, until: KeyValues, where: str | None, limit: int) -> str:
        """Keys behind `after`, in order: a range of the key's index, which alone is read where it has all columns."""
        conditions = [self._compared(">", after)] if after is not None else []
        conditions.append(self._compared("<=", until))
        if where is not None:
            conditions.append(where)
        condition = " AND ".join(f"({one})" for one in conditions)
        order = ", ".join(part.column for part in self.parts)
        return f"{self._selected()} WHERE {condition} ORDER BY {order} LIMIT {limit}"

    def select_last(self) -> str:
        order = ", ".join(f"{part.column} DESC" for part in self.parts)
        return f"{self._selected()} ORDER BY {order} LIMIT 1"

    def _selected(self) -> str:
        places = [part.place for part in self.parts if part.place is not None]
        columns = ", ".join([*(part.select for part in self.parts), *places])
        table = f"{quoted(self.name.schema)}.{quoted(self.name.table)}"
        return f"SELECT {columns} FROM {table} FORCE INDEX ({quoted(self.index)})"  # noqa: S608  the names are quoted

    def _compared(self, sign: str, values: KeyValues) -> str:
        """(a, b) > (1, 2) as `a > 1 OR (a = 1 AND b > 2)`: of this the servers read a range, of the other all."""
        literals = [part.literal(value) for part, value in zip(self.parts, values, strict=True)]
        strict = sign[0]
        found = []
        for n, (part, literal) in enumerate(zip(self.parts, literals, strict=True)):
            last = n == len(literals) - 1
            equal = [f"{one.column} = {value}" for one, value in zip(self.parts[:n], literals, strict=False)]
            found.append(" AND ".join([*equal, f"{part.column} {sign if last else strict} {literal}"]))
        return " OR ".join(f"({one})" for one in found) if len(found) > 1 else found[0]

    def place_of(self, row: Sequence[bytes]) -> KeyValues:
        """A row's values as `after` and `until` have them."""
        places = iter(row[len(self.parts) :])
        return tuple(
            value if part.place is None else next(places)
            for part, value in zip(self.parts, row[: len(self.parts)], strict=True)
        )

    def keys_of(self, rows: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Encoded as the log's path does."""
        front, parts = wire.long(len(self.parts)), [part.part for part in self.parts]
        if len(parts) == 2:
            first, second = parts
            return [front + first(row[0]) + second(row[1]) + b"\0" for row in rows]
        return [
            front + b"".join([part(value) for part, value in zip(parts, row, strict=False)]) + b"\0" for row in rows
        ]

    def keys_of_singles(self, values: list[bytes]) -> list[bytes]:
        """The same for keys of one column that is selected alone."""
        part = self.parts[0]
        if not part.is_integer:
            decode = part.part
            return [b"\2" + decode(value) + b"\0" for value in values]
        long_part, ends, more = wire.long_part, wire.ENDS, wire.MORE
        return [
            b"\2\0" + more[n << 1 & 16383] + ends[n >> 13] + b"\0"
            if 8192 <= n < 134217728
            else b"\2" + long_part(n) + b"\0"
            for n in map(int, values)
        ]


def keyed_table(name: TableName, ask: Ask, text: Callable[[str], TextDecoder]) -> KeyedTable:
    """Raises Refused and Gone."""
    created = created_as(name, ask)
    definition = Definitions(ask).read(*name)
    if definition is None:
        raise Gone(f"{name} does not exist")
    if not definition.key:
        raise Refused(f"{name} has no primary key: its rows have no names that a record could carry")
    columns = [definition.columns[index] for index in definition.key]
    try:
        parts = tuple(key_text(column, text) for column in columns)
    except UnreadableData as error:
        raise Refused(f"{name} cannot be read: {error.found}") from error
    large = any(column.log_type is not None and column.log_type.type in t.BLOBS for column in columns)
    key = ", ".join(f"{column.name} {column.declared} {column.key.charset or ''}".rstrip() for column in columns)
    index = _index_of(name, [column.name for column in columns], ask)
    return KeyedTable(name, created, key, index, parts, _LARGE_KEY_ROWS if large else None)


def created_as(name: TableName, ask: Ask) -> str:
    """The table's definition in the server's words, without what changes with its rows."""
    try:
        row = ask(f"SHOW CREATE TABLE {quoted(name.schema)}.{quoted(name.table)}")[0]
    except (pymysql.err.MySQLError, Error) as error:
        raise meaning(error, name) from error
    if "Create Table" not in row:
        raise Refused(f"{name} is no table")
    return _AUTO_INCREMENT.sub("", str(row["Create Table"]))


def meaning(error: Exception, name: TableName) -> Exception:
    """What an error of the server says of the table; the error itself where it says nothing of it."""
    cause = error if isinstance(error, pymysql.err.MySQLError) else error.__cause__
    code = cause.args[0] if isinstance(cause, pymysql.err.MySQLError) and cause.args else None
    if code in _NO_TABLE:
        return Gone(f"{name} does not exist")
    if code in _DENIED:
        return Refused(f"the capture's account may not read {name}", fix=f"GRANT SELECT ON {name} TO ...")
    return error


_INDEXES = """
SELECT TABLE_NAME AS table_name, INDEX_NAME AS index_name, COLUMN_NAME AS name
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0
ORDER BY INDEX_NAME, SEQ_IN_INDEX
"""


def _index_of(name: TableName, columns: list[str], ask: Ask) -> str:
    found: dict[str, list[str]] = {}
    for row in ask(_INDEXES, *name):
        if row["table_name"] == name.table:
            found.setdefault(str(row["index_name"]), []).append(str(row["name"]))
    if found.get("PRIMARY") == columns:
        return "PRIMARY"
    matching = [index for index, names in found.items() if names == columns]
    if not matching:
        raise Refused(f"{name} changed while it was looked at")
    return matching[0]


def expected_rows(name: TableName, ask: Ask) -> int | None:
    """The server's estimate."""
    found = ask(
        "SELECT TABLE_ROWS AS n FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s", *name
    )
    return int(found[0]["n"]) if found and found[0]["n"] is not None else None


def captured_tables(ask: Ask, tables: TableFilter) -> list[TableName]:
    """All that pass the filter, in the order of their names."""
    rows = ask(
        "SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'"
    )
    return sorted(name for row in rows if tables.passes(*(name := TableName(str(row["s"]), str(row["t"])))))
