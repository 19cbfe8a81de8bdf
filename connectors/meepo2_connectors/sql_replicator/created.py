"""
Tables that are made in the target: the source's columns with types of the target, and its primary key.

Nothing else comes along: no defaults, no other keys, no foreign keys, no generated columns (they are plain ones).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table
from sqlalchemy import types as sql
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.sql.elements import quoted_name

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.source_tables import Geometry, Vector
from meepo2_connectors.sql_replicator.names import TargetName

Type = sql.TypeEngine[Any]
_BINARY = (sql.LargeBinary, sql.BINARY, sql.VARBINARY, mysql.TINYBLOB, mysql.MEDIUMBLOB, mysql.LONGBLOB)
_LARGE = (sql.BLOB, mysql.TINYBLOB, mysql.MEDIUMBLOB, mysql.LONGBLOB, mysql.TINYTEXT, mysql.MEDIUMTEXT, mysql.LONGTEXT)
_SQLITE_BITS = 63
_VARCHAR_CHARACTERS = 16_000


def created_table(
    source: Table, name: TargetName, columns: dict[str, str], dialect: str, collations: Collection[str], *,
    zero_as_null: bool,
) -> Table:  # fmt: skip
    """`columns` are those to have, each with its name there; `collations` are those that a MySQL or MariaDB knows."""
    type_of = _KINDS.get(dialect) or partial(mysql_type, collations=collations)
    made = []
    for column in source.columns:
        if column.name in columns:
            is_date = isinstance(column.type, sql.Date | sql.DateTime)
            nullable = bool(column.nullable) or (zero_as_null and is_date and not column.primary_key)
            made.append(
                Column(
                    quoted_name(columns[column.name], True), type_of(column), nullable=nullable, autoincrement=False
                )
            )  # fmt: skip
    key = PrimaryKeyConstraint(*(columns[one.name] for one in source.primary_key.columns))
    return Table(quoted_name(name[1], True), MetaData(), *made, key, schema=quoted(name[0]))


def quoted(schema: str | None) -> str | None:
    return None if schema is None else quoted_name(schema, True)


def postgres_type(column: Column[Any]) -> Type:
    kind = column.type
    if isinstance(kind, mysql.BIT):
        return pg.BIT(kind.length or 1)
    if isinstance(kind, mysql.YEAR):
        return sql.SMALLINT()
    if isinstance(kind, sql.Integer):
        return _postgres_integer(kind)
    if isinstance(kind, sql.Float):
        return sql.REAL() if isinstance(kind, mysql.FLOAT) else pg.DOUBLE_PRECISION()
    if isinstance(kind, sql.Numeric):
        return sql.NUMERIC(kind.precision, kind.scale)
    if isinstance(kind, sql.DateTime):
        return pg.TIMESTAMP(timezone=isinstance(kind, mysql.TIMESTAMP), precision=getattr(kind, "fsp", None) or 0)
    if isinstance(kind, sql.Date):
        return sql.DATE()
    if isinstance(kind, sql.Time):
        return pg.INTERVAL(precision=getattr(kind, "fsp", None) or 0)
    if isinstance(kind, sql.JSON):
        return pg.JSONB()
    if isinstance(kind, (*_BINARY, Geometry, Vector)):
        return pg.BYTEA()
    if isinstance(kind, mysql.INET4 | mysql.INET6):
        return pg.INET()
    if isinstance(kind, sql.Uuid):
        return pg.UUID()
    if isinstance(kind, sql.CHAR | sql.VARCHAR) and kind.length:
        return sql.VARCHAR(kind.length)  # a CHAR would be given spaces that MySQL does not show
    return sql.TEXT()


def _postgres_integer(kind: Type) -> Type:
    """The smallest that holds all of it."""
    unsigned = bool(getattr(kind, "unsigned", False))
    if isinstance(kind, mysql.TINYINT):
        return sql.SMALLINT()
    if isinstance(kind, sql.SMALLINT):
        return sql.INTEGER() if unsigned else sql.SMALLINT()
    if isinstance(kind, sql.BIGINT):
        return sql.NUMERIC(20, 0) if unsigned else sql.BIGINT()
    if isinstance(kind, mysql.MEDIUMINT):
        return sql.INTEGER()
    return sql.BIGINT() if unsigned else sql.INTEGER()


def sqlite_type(column: Column[Any]) -> Type:
    """Numbers of more digits than SQLite keeps are TEXT."""
    kind = column.type
    if isinstance(kind, mysql.BIT):
        return sql.INTEGER() if (kind.length or 1) <= _SQLITE_BITS else sql.TEXT()
    if isinstance(kind, sql.Float):
        return sql.REAL()
    if isinstance(kind, sql.Integer | mysql.YEAR):
        large = isinstance(kind, sql.BIGINT) and getattr(kind, "unsigned", False)
        return sql.TEXT() if large else sql.INTEGER()
    return sql.BLOB() if isinstance(kind, (*_BINARY, Geometry, Vector)) else sql.TEXT()


def mysql_type(column: Column[Any], collations: Collection[str]) -> Type:
    """
    The source's own type.

    Of a collation that the target does not know the exact one stands in, so that no two keys become one.  ENUM and SET
    become text, which holds the invalid value too, and so do MariaDB's own types, which MySQL has not.
    """
    kind: Any = column.type
    if isinstance(kind, mysql.ENUM | mysql.SET):
        return _label_type(kind)
    if column.primary_key and isinstance(kind, (sql.TEXT, *_LARGE)):
        raise ConfigError(
            f"{column.table.fullname} has a key over the beginning of {column.name}, and such a table is not created",
            fix="Create it in the target, with a key over as many characters as in the source.",
        )
    if isinstance(kind, mysql.INET4 | mysql.INET6):
        return sql.VARCHAR(45)
    if isinstance(kind, sql.Uuid):
        return sql.CHAR(36)
    if getattr(kind, "collation", None) and kind.collation not in collations:
        kind = kind.copy()
        kind.charset, kind.collation = "utf8mb4", "utf8mb4_bin"
    made: Type = kind
    return made


def _label_type(kind: Any) -> Type:
    labels = kind.enums if isinstance(kind, mysql.ENUM) else kind.values
    longest = max(map(len, labels)) if isinstance(kind, mysql.ENUM) else sum(map(len, labels)) + len(labels)
    if longest > _VARCHAR_CHARACTERS:
        return mysql.TEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return mysql.VARCHAR(max(longest, 1), charset="utf8mb4", collation="utf8mb4_bin")


_KINDS: dict[str, Callable[[Column[Any]], Type]] = {"postgresql": postgres_type, "sqlite": sqlite_type}
