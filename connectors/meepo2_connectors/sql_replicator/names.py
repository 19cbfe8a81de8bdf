"""
What tables and columns of the source are called in the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Name = tuple[str, str]
"""Schema and table in the source."""
TargetName = tuple[str | None, str]
"""Schema and table in the target; None is the schema that the connection has by itself."""

_PART = r'(?:"(?:[^"]|"")+"|[^".]+)'
_NAME = re.compile(rf"(?:({_PART})\.)?({_PART})", re.DOTALL)


class Names:
    """By the settings `target_schema`, `tables` and `columns`."""

    def __init__(self, schema: str | None, tables: Mapping[str, str], columns: Mapping[str, Mapping[str, str]]) -> None:
        self._schema = schema
        self._tables = {name: parse_name(target) for name, target in tables.items()}
        self._columns = columns

    def table(self, name: Name) -> TargetName:
        schema, table = self._tables.get(".".join(name), (None, name[1]))
        if schema is None and self._schema is not None:
            schema = self._schema.replace("{schema}", name[0])
        return schema, table

    def columns(self, name: Name, columns: Iterable[str]) -> dict[str, str]:
        """Those that are to be written, each with its name in the target."""
        mapped = self._columns.get(".".join(name), {})
        return {column: mapped.get(column, column) for column in columns if mapped.get(column, column)}


def parse_name(name: str) -> TargetName:
    """`table` or `schema.table`, either part perhaps in double quotes."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(
            f"{name!r} is no name of a table; expected table or schema.table, a part with points in quotes"
        )
    schema, table = found.groups()
    return (None if schema is None else _unquoted(schema)), _unquoted(table)


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part
