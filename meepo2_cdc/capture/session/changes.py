"""
What a flush changed: rows by table and key.

SQLAlchemy's mapper events say which objects a flush wrote; here each becomes the rows that stand for it: one in each
table of a joined inheritance, two changes where a key changed, and the rows of many-to-many tables.  Knows mappers;
sends nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Column, Connection, Dialect, Table
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import instance_state

from meepo2_cdc.capture.session import associations
from meepo2_cdc.capture.session.keys import Part, key_part
from meepo2_cdc.records import Action, KeyPart

log = structlog.get_logger()
Pk = tuple[KeyPart, ...]


class Change(NamedTuple):
    """One changed row."""

    action: Action
    schema: str
    table: str
    pk: Pk


class Kind(Enum):
    """What a flush did with an object."""

    INSERTED = Action.WRITE
    UPDATED = Action.UPDATE
    DELETED = Action.DELETE


@dataclass(slots=True)
class Written:
    """An object that a flush wrote, on which connection; `touched` are the tables known to be updated for it."""

    kind: Kind
    mapper: Mapper[Any]
    connection: Connection
    target: Any
    touched: set[Table] = field(default_factory=set)


class Flush:
    """
    What one flush wrote, shared by all publishers of the session.

    A publisher claims a table at a destination, so that of several with the same destination one publishes a row.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self.written: list[Written] = []
        self.touched: dict[int, set[Table]] = {}
        self._claims: dict[tuple[Hashable, Table], object] = {}

    def claim(self, destination: Hashable, table: Table, by: object) -> bool:
        return self._claims.setdefault((destination, table), by) is by


RowChange = tuple[Connection, Change]


class _Order:
    """The changes of one flush on one connection, in the order of `Rows.changes`."""

    def __init__(self) -> None:
        self.deletes: list[Change] = []
        self.writes: list[Change] = []

    def add(self, kind: Kind, table: _Table, old: Pk, new: Pk, touched: bool) -> None:
        if kind is Kind.INSERTED:
            self.writes.append(Change(Action.WRITE, table.schema, table.name, new))
        elif kind is Kind.DELETED:
            self.deletes.append(Change(Action.DELETE, table.schema, table.name, old))
        elif old != new:
            self.deletes.append(Change(Action.DELETE, table.schema, table.name, old))
            self.writes.append(Change(Action.WRITE, table.schema, table.name, new))
        elif touched:
            self.writes.append(Change(Action.UPDATE, table.schema, table.name, new))


@dataclass(slots=True)
class _Table:
    """A table that is published, as one connection has it, with the attributes of one mapper that are its key."""

    table: Table
    schema: str
    name: str
    key: list[tuple[Part, str]]


Wanted = Callable[[Table], bool]


class Rows:
    """Makes changes of what flushes wrote.  `default_schema` stands for tables without a schema."""

    def __init__(self, default_schema: str | None = None) -> None:
        self._default_schema = default_schema
        self._forms: WeakKeyDictionary[Table, tuple[Dialect, list[Part]]] = WeakKeyDictionary()
        self._keyless: set[Table] = set()

    def changes(self, written: Iterable[Written], wanted: Wanted) -> list[RowChange]:
        """
        The changed rows of tables that are `wanted`: per connection the deletes, then the writes and updates.

        Within a flush a key that is written exists in the end, whatever else was done with it: the unit of work deletes
        last, but what it deletes no other object of the flush can be.  Each row is there once for each action:
        many-to-many rows are met from both their sides.
        """
        orders: dict[Connection, _Order] = {}
        tables: dict[tuple[Mapper[Any], Connection], list[_Table]] = {}
        for one in written:
            order = orders.get(one.connection)
            if order is None:
                order = orders[one.connection] = _Order()
            place = one.mapper, one.connection
            if place not in tables:
                tables[place] = self._tables(*place, wanted)
            self._add(order, one, tables[place], wanted)
        return [
            (connection, change)
            for connection, order in orders.items()
            for change in dict.fromkeys(order.deletes + order.writes)
        ]

    def change(self, connection: Connection, action: Action, table: Table, pk: Pk) -> Change:
        return Change(action, self._schema(connection, table), table.name, pk)

    def pk(self, table: Table, dialect: Dialect, values: Sequence[Any]) -> Pk:
        """The key of a row by its values in key order."""
        return tuple([part(value) for part, value in zip(self.form(table, dialect), values, strict=True)])

    def form(self, table: Table, dialect: Dialect) -> list[Part]:
        """What makes the parts of a key; empty, and said once, for a table without a key."""
        known = self._forms.get(table)
        if known is None or known[0] is not dialect:
            known = dialect, [key_part(column, dialect) for column in table.primary_key.columns]
            self._forms[table] = known
            if not known[1] and table not in self._keyless:
                self._keyless.add(table)
                log.warning("A table has no primary key, so its rows are not published", table=table.fullname)
        return known[1]

    def _schema(self, connection: Connection, table: Table) -> str:
        schema = table.schema
        translated = connection.get_execution_options().get("schema_translate_map")
        if translated:
            schema = translated.get(schema, schema)
        return schema or self._default_schema or connection.dialect.default_schema_name or "main"

    def _tables(self, mapper: Mapper[Any], connection: Connection, wanted: Wanted) -> list[_Table]:
        found = []
        for table, attributes in _key_attributes(mapper):
            if wanted(table) and (form := self.form(table, connection.dialect)):
                key = list(zip(form, attributes, strict=True))
                found.append(_Table(table, self._schema(connection, table), table.name, key))
        return found

    def _add(self, order: _Order, one: Written, tables: list[_Table], wanted: Wanted) -> None:
        state: InstanceState[Any] = instance_state(one.target)
        touched = _touched(one, state) if one.kind is Kind.UPDATED else None
        for table in tables:
            old: Pk = () if one.kind is Kind.INSERTED else _key(state, table, _old_value)
            new: Pk = () if one.kind is Kind.DELETED else _key(state, table, _new_value)
            order.add(one.kind, table, old, new, touched is None or table.table in touched)
        if associations.relationships(one.mapper):
            self._add_associations(order, one, state, wanted)

    def _add_associations(self, order: _Order, one: Written, state: InstanceState[Any], wanted: Wanted) -> None:
        for action, table, values in associations.rows(one.mapper, state, one.kind is Kind.DELETED):
            if wanted(table) and self.form(table, one.connection.dialect) and self._known(table, values):
                change = self.change(one.connection, action, table, self.pk(table, one.connection.dialect, values))
                (order.deletes if action is Action.DELETE else order.writes).append(change)

    def _known(self, table: Table, values: tuple[Any, ...]) -> bool:
        """False, and said once, of a many-to-many table with a key that the relationship does not set."""
        if None not in values:
            return True
        if table not in self._keyless:
            self._keyless.add(table)
            log.warning("A many-to-many table has a key of its own; its rows are not published", table=table.fullname)
        return False


# -- what mappers say

_Value = Callable[[InstanceState[Any], str], Any]


@lru_cache(maxsize=4096)
def _key_attributes(mapper: Mapper[Any]) -> list[tuple[Table, list[str]]]:
    """The tables that hold an object, parents first, each with the attributes of its key columns."""
    found = []
    for table in mapper.tables:
        if isinstance(table, Table):
            columns = table.primary_key.columns
            found.append((table, [mapper.get_property_by_column(column).key for column in columns]))
    return found


@lru_cache(maxsize=4096)
def _columns(mapper: Mapper[Any]) -> dict[str, list[Table]]:
    """The tables in which an attribute is stored."""
    stored = {
        one.key: [column.table for column in one.columns if isinstance(column, Column)] for one in mapper.column_attrs
    }
    return {key: tables for key, tables in stored.items() if tables}


def touched_tables(mapper: Mapper[Any], state: InstanceState[Any]) -> set[Table]:
    """The tables of which a column was given another value since the last flush."""
    columns, found = _columns(mapper), set[Table]()
    for key in columns.keys() - state.unmodified:
        if state.attrs[key].history.has_changes():
            found.update(columns[key])
    return found


def _touched(one: Written, state: InstanceState[Any]) -> set[Table]:
    """Looked at before the UPDATE, which forgets SQL expressions, and behind it, for what a post_update set."""
    found = one.touched | touched_tables(one.mapper, state)
    version = one.mapper.version_id_col
    if found and version is not None and isinstance(version.table, Table):
        found.add(version.table)
    return found


def _key(state: InstanceState[Any], table: _Table, value: _Value) -> Pk:
    return tuple([part(value(state, attribute)) for part, attribute in table.key])


def _new_value(state: InstanceState[Any], key: str) -> Any:
    known = state.dict
    return known[key] if key in known else getattr(state.obj(), key)


def _old_value(state: InstanceState[Any], key: str) -> Any:
    """What the database had: of a value that was not loaded, what the identity says."""
    history = state.attrs[key].history
    if history.deleted:
        return history.deleted[0]
    if history.unchanged:
        return history.unchanged[0]
    mapper, identity = state.mapper, state.identity
    if identity is not None:
        for column, value in zip(mapper.primary_key, identity, strict=True):
            if mapper.get_property_by_column(column).key == key:
                return value
    return getattr(state.obj(), key)
