"""
The keys of one INSERT, UPDATE or DELETE: from its parameters, from what it returns, or by selecting its rows before it.

SQLAlchemy has no public names for some parts of a statement; they are read here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Delete, Insert, Table, Update, delete, false, select
from sqlalchemy.orm import Mapper, ORMExecuteState

from meepo2_cdc.capture.session.changes import Pk, Rows
from meepo2_cdc.capture.session.hooks import inside
from meepo2_cdc.records import Action

Found = tuple[Action, Table, Pk]


class CannotTell(Exception):
    """Why the keys of a statement cannot be had."""


class Statement:
    """One statement on its way: `prepare`, `invoke`, `found`."""

    def __init__(
        self,
        state: ORMExecuteState,
        statement: Insert | Update | Delete,
        table: Table,
        mapper: Mapper[Any] | None,
        tables: list[Table],
        rows: Rows,
        options: Mapping[str, Any],
    ) -> None:
        self.state = state
        self.table = table
        self.options = options
        self._statement = statement
        self._mapper = mapper
        self._tables = tables
        self._rows = rows
        self.connection = state.session.connection(bind_arguments=dict(state.bind_arguments))
        self._found: list[Found] = []
        self._returning = False
        self._expected: int | None = None

    @property
    def _parameters(self) -> list[Mapping[str, Any]]:
        given = self.state.parameters
        if given is None:
            return []
        return [given] if isinstance(given, Mapping) else list(given)

    def prepare(self) -> None:
        """Raises CannotTell when the keys cannot be had."""
        for table in self._tables:
            if not self._rows.form(table, self.connection.dialect):
                self._tables = [one for one in self._tables if one is not table]
        if not self._tables:
            return
        if isinstance(self._statement, Insert):
            self._prepare_insert()
        elif self._by_keys:
            self._prepare_by_keys()
        else:
            self._prepare_rows()

    def invoke(self) -> Any:
        statement: Any = None
        if self._returning:
            statement = self._statement.returning(*self._key_columns())
        return self.state.invoke_statement(statement=statement, execution_options=self.options)

    def found(self, result: Any) -> tuple[list[Found], Any]:
        """The changed rows, and the result that the application gets."""
        if self._returning:
            frozen = result.freeze()
            return self._inserted(frozen().all()), frozen()
        if isinstance(self._statement, Insert) and not self._found:
            return self._one_inserted(result), result
        if self._expected is not None:
            changed = getattr(result, "rowcount", -1)
            if changed not in (-1, self._expected):
                raise CannotTell(f"it changed {changed} rows, and {self._expected} had been found before it")
        return self._found, result

    # -- INSERT

    def _prepare_insert(self) -> None:
        statement: Any = self._statement
        plain = statement.select is None and not statement._multi_values
        if plain and (not self._parameters or (self._mapper is None and len(self._parameters) == 1)):
            if len(statement.exported_columns):
                raise CannotTell("it has a RETURNING of its own")
            if self._joined:
                raise CannotTell(f"{self.table.fullname} is one of several tables of its class; insert with parameters")
            return
        if self._joined and self._have_keys:
            self._found = self._of_parameters(Action.WRITE, self._tables)
            return
        dialect = self.connection.dialect
        many = dialect.insert_executemany_returning if self._parameters else dialect.insert_returning
        if len(statement.exported_columns):
            raise CannotTell("it has a RETURNING of its own")
        if many and not (self._joined and not self._parameters):
            for table in self._tables:
                self._of_table(table, [None] * len(self._key_columns()))
            self._returning = True
            return
        if not plain or statement._prefixes or statement._post_values_clause is not None:
            raise CannotTell(f"{dialect.name} returns no keys of such an INSERT")
        self._found = self._of_parameters(Action.WRITE, self._tables)

    @property
    def _have_keys(self) -> bool:
        names = [self._name(column) for table in self._tables for column in table.primary_key.columns]
        return bool(self._parameters) and all(one.get(name) is not None for one in self._parameters for name in names)

    @property
    def _joined(self) -> bool:
        return self._mapper is not None and len([one for one in self._mapper.tables if isinstance(one, Table)]) > 1

    def _key_columns(self) -> list[Any]:
        if self._mapper is None:
            return list(self.table.primary_key.columns)
        attributes = (self._mapper.get_property_by_column(column) for column in self._mapper.primary_key)
        return [getattr(self._mapper.class_, one.key) for one in attributes]

    def _inserted(self, keys: Sequence[Sequence[Any]]) -> list[Found]:
        dialect = self.connection.dialect
        return [
            (Action.WRITE, table, self._rows.pk(table, dialect, self._of_table(table, key)))
            for key in keys
            for table in self._tables
        ]

    def _of_table(self, table: Table, key: Sequence[Any]) -> list[Any]:
        """The key of a row of one table by the key of its object."""
        if self._mapper is None:
            return list(key)
        names = [self._mapper.get_property_by_column(column).key for column in self._mapper.primary_key]
        known = dict(zip(names, key, strict=True))
        try:
            return [known[self._mapper.get_property_by_column(one).key] for one in table.primary_key.columns]
        except KeyError as error:
            raise CannotTell(f"the key of {table.fullname} is not that of its class") from error

    def _one_inserted(self, result: Any) -> list[Found]:
        key = getattr(result, "inserted_primary_key", None)
        if not result.rowcount:
            return []
        if key is None or None in tuple(key):
            raise CannotTell("the database does not say which key the row got")
        values = tuple(key)
        return [(Action.WRITE, self.table, self._rows.pk(self.table, self.connection.dialect, values))]

    # -- UPDATE and DELETE

    @property
    def _by_keys(self) -> bool:
        """SQLAlchemy's "bulk UPDATE by primary key": a list of parameters, no WHERE."""
        listed = self.state.parameters is not None and not isinstance(self.state.parameters, Mapping)
        return (
            isinstance(self._statement, Update)
            and self._mapper is not None
            and listed
            and self._statement.whereclause is None
        )

    def _prepare_by_keys(self) -> None:
        given = {name for one in self._parameters for name in one}
        stored = {
            column.table
            for one in (self._mapper.column_attrs if self._mapper is not None else ())
            for column in one.columns
            if one.key in given and not column.primary_key
        }
        self._found = self._of_parameters(Action.UPDATE, [one for one in self._tables if one in stored])

    def _of_parameters(self, action: Action, tables: Sequence[Table]) -> list[Found]:
        dialect, found = self.connection.dialect, []
        for one in self._parameters:
            for table in tables:
                names = [self._name(column) for column in table.primary_key.columns]
                if any(one.get(name) is None for name in names):
                    raise CannotTell(f"the parameters lack a key of {table.fullname}")
                found.append((action, table, self._rows.pk(table, dialect, [one[name] for name in names])))
        return found

    def _name(self, column: Any) -> str:
        return self._mapper.get_property_by_column(column).key if self._mapper is not None else column.key

    def _prepare_rows(self) -> None:
        statement: Any = self._statement
        if self._parameters and not isinstance(self.state.parameters, Mapping):
            raise CannotTell("it is executed with several sets of parameters")
        if any(name.endswith("_limit") for name in statement.dialect_kwargs) or statement._prefixes:
            raise CannotTell("it has a LIMIT or a prefix")
        dialect = self.connection.dialect
        columns = self._columns()
        assigned = self._assigned()
        new = [assigned.get(column.key, mine) for column, mine in zip(self._key, columns, strict=True)]
        changed = any(column.key in assigned for column in self._key)
        found = [tuple(row) for row in self._select([*columns, *new] if changed else columns)]
        self._expected = len(found)
        size = len(self._key)
        for row in found:
            old = self._rows.pk(self.table, dialect, row[:size])
            after = self._rows.pk(self.table, dialect, row[size:]) if changed else old
            self._found += self._changed(old, after)
        self._found.sort(key=lambda one: one[0] is not Action.DELETE)  # a key may be given to another row

    @property
    def _key(self) -> list[Any]:
        return list(self.table.primary_key.columns)

    def _columns(self) -> list[Any]:
        """As attributes of the class, so that conditions of loading and of inheritance hold as for the statement."""
        if self._mapper is None:
            return self._key
        return [getattr(self._mapper.class_, self._mapper.get_property_by_column(one).key) for one in self._key]

    def _assigned(self) -> dict[str, Any]:
        """What an UPDATE sets, by column; SQLAlchemy has no public name for it."""
        if not isinstance(self._statement, Update):
            return {}
        statement: Any = self._statement
        ordered = getattr(statement, "_ordered_values", None)  # until SQLAlchemy 2.0; 2.1 keeps both in _values
        pairs = [*(statement._values or {}).items(), *(ordered or ())]
        found = {getattr(column, "key", column): value for column, value in pairs}
        if self._mapper is not None:
            names = {self._name(column): column.key for column in self._key}
            found |= {names[name]: value for name, value in found.items() if name in names}
        return found | {column.key: value for column in self._key for value in self._given(column)}

    def _given(self, column: Any) -> list[Any]:
        return [one[self._name(column)] for one in self._parameters[:1] if self._name(column) in one]

    def _select(self, columns: Sequence[Any]) -> list[Any]:
        session = self.state.session
        statement: Any = self._statement
        distinct = [one.label(f"k{number}") if hasattr(one, "label") else one for number, one in enumerate(columns)]
        query = select(*distinct)
        if statement.whereclause is not None:
            query = query.where(statement.whereclause)
        if self._mapper is not None:
            query = query.options(*statement._with_options)
        if self.connection.dialect.name == "sqlite":
            self._lock_sqlite()
        else:
            query = query.with_for_update()
        arguments = dict(self.state.bind_arguments)
        rows = session.execute(query, self._parameters[0] if self._parameters else {}, bind_arguments=arguments)
        return list(dict.fromkeys(tuple(row) for row in rows))

    def _lock_sqlite(self) -> None:
        """SQLite has no row locks: a statement that deletes nothing takes the file's, and begins the transaction."""
        with inside(self.state.session):
            self.connection.execute(delete(self.table).where(false()))

    def _changed(self, old: Pk, new: Pk) -> list[Found]:
        if isinstance(self._statement, Delete):
            return [(Action.DELETE, self.table, old)]
        if old == new:
            return [(Action.UPDATE, self.table, old)]
        return [(Action.DELETE, self.table, old), (Action.WRITE, self.table, new)]
