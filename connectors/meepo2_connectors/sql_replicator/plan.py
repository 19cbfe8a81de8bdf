"""
How the rows of one table of the source become rows of one table of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, UniqueConstraint
from sqlalchemy import types as sql

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import KeyPart
from meepo2_cdc.replay.keys import key_parts
from meepo2_connectors.sql_replicator.statements import STATEMENTS, Shape, Statements, Values
from meepo2_connectors.sql_replicator.target import Target
from meepo2_connectors.sql_replicator.values import Convert, Unfit, convert_for, part_of_value, value_of_part

Key = tuple[KeyPart, ...]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """A column that both have; `part` and `value` are for keys, from a record and back."""

    source: str
    target: str
    convert: Convert | None
    value: Convert
    part: Callable[[Any], KeyPart]

    def of_row(self, row: Row) -> Any:
        value = row[self.source]
        return value if value is None or self.convert is None else self.convert(value)

    def of_part(self, part: KeyPart) -> Any:
        value = self.value(part)
        return value if self.convert is None else self.convert(value)


class Plan:
    """Made for definitions as they are; `covers` tells whether rows are still of the one of the source."""

    def __init__(self, source: Table, table: Table, fields: Sequence[_Field], statements: Statements) -> None:
        self.statements = statements
        self.table = table
        self._source = source
        self._names = {column.name for column in source.columns}
        self._fields = fields
        self._key = [fields[n] for n in statements.shape.key]
        self.tells_spellings_apart = any(isinstance(one.type, sql.String) for one in source.primary_key.columns)
        """Whether keys that are equal to the source may be different ones here."""
        self.unfillable = _unfillable(table, {one.target for one in fields})
        self.ignored = sorted(self._names - {one.source for one in fields})

    def covers(self, rows: Mapping[Key, Row]) -> bool:
        return all(row.keys() == self._names for row in rows.values())

    def own_key(self, row: Row) -> Key:
        return key_parts(self._source, row)

    def values_of(self, row: Row) -> Values:
        """Raises Unfit."""
        if self.unfillable:
            raise Unfit(
                f"{self.table.fullname} wants values for {', '.join(self.unfillable)}, which the source has not;"
                " give these columns defaults, or make them nullable"
            )
        return tuple([_named(one, one.of_row, row) for one in self._fields])

    def key_of(self, pk: Key) -> Values:
        """Raises Unfit for a key that is none of this table."""
        if len(pk) != len(self._key):
            raise Unfit(f"a key of {len(pk)} parts; that of {self.table.fullname} has {len(self._key)}")
        return tuple(_named(one, one.of_part, part) for one, part in zip(self._key, pk, strict=True))

    def pk_of(self, key: Sequence[Any]) -> Key:
        """Of what the target has for a key; raises Unfit for what no record would have."""
        return tuple(_named(one, one.part, value) for one, value in zip(self._key, key, strict=True))


def _named(field: _Field, convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except Unfit as error:
        raise Unfit(f"column {field.target}: {error}") from None
    except (ValueError, TypeError, ArithmeticError, OverflowError) as error:
        raise Unfit(f"column {field.target}: a value that it cannot hold ({type(error).__name__})") from None


def make_plan(target: Target, source: Table, table: Table, columns: Mapping[str, str], *, zero_as_null: bool) -> Plan:
    """`columns` are those of the source that are to be written, with their names in the target."""
    written = {name for name, column in table.columns.items() if column.computed is None}
    fields = [
        _Field(
            name,
            columns[name],
            convert_for(target.dialect, column, table.columns[columns[name]], zero_as_null=zero_as_null),
            value_of_part(column),
            part_of_value(column),
        )
        for name, column in source.columns.items()
        if columns.get(name) in written
    ]
    shape = _shape(target, source, table, fields)
    kind = STATEMENTS.get(target.dialect, Statements)
    return Plan(source, table, fields, target.made(lambda connection: kind(connection, shape)))


def _shape(target: Target, source: Table, table: Table, fields: Sequence[_Field]) -> Shape:
    numbers = {one.source: n for n, one in enumerate(fields)}
    wanted = [column.name for column in source.primary_key.columns]
    missing = [name for name in wanted if name not in numbers]
    if missing:
        raise ConfigError(
            f"{table.fullname} in {target.name} has no column for {', '.join(missing)} of the key of {source.fullname}"
        )
    key = tuple(numbers[name] for name in wanted)
    names = {fields[n].target for n in key}
    uniques = _unique_keys(target, table)
    if not key or names not in uniques:
        raise ConfigError(
            f"{table.fullname} in {target.name} has no primary or unique key over ({', '.join(sorted(names))})"
            f", by which the rows of {source.fullname} are found",
            fix=f"{table.fullname} has keys over: {'; '.join(', '.join(sorted(one)) for one in uniques) or 'nothing'}.",
        )
    targets = {one.target: n for n, one in enumerate(fields)}
    others = [one for one in uniques if one != names]
    known = tuple(tuple(targets[name] for name in sorted(one)) for one in others if one <= targets.keys())
    return Shape(table, tuple(one.target for one in fields), key, known, bool(others))


def _unique_keys(target: Target, table: Table) -> list[set[str]]:
    """The primary key, and others that hold for all rows."""
    partial = target.partial_indexes(table) if table.indexes else set()
    found = [
        {column.name for column in table.primary_key.columns},
        *({one.name for one in each.columns} for each in table.constraints if isinstance(each, UniqueConstraint)),
        *({one.name for one in each.columns} for each in table.indexes if each.unique and each.name not in partial),
    ]
    distinct: list[set[str]] = []
    for one in found:
        if one and one not in distinct:
            distinct.append(one)
    return distinct


def _unfillable(table: Table, written: set[str]) -> list[str]:
    return [
        name
        for name, column in table.columns.items()
        if name not in written and not column.nullable and not _fills_itself(table, column)
    ]


def _fills_itself(table: Table, column: Column[Any]) -> bool:
    has_value = column.server_default is not None or column.computed is not None or column.identity is not None
    return has_value or column is table.autoincrement_column
