"""
The rows of a source, in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy

from meepo2_cdc.records import KeyPart

Pk = tuple[KeyPart, ...]


class InMemoryRows:
    """What `meepo2_cdc.replay.rows.SourceRows` offers, of rows that a test puts in and takes away."""

    def __init__(self, tables: Sequence[sqlalchemy.Table] = ()) -> None:
        self._tables = {(one.schema or "", one.name): one for one in tables}
        self._rows: dict[tuple[str, str], dict[Pk, dict[str, Any]]] = {}

    def put(self, schema: str, table: str, pk: Pk, row: dict[str, Any]) -> None:
        self._rows.setdefault((schema, table), {})[pk] = row

    def remove(self, schema: str, table: str, pk: Pk) -> None:
        self._rows.get((schema, table), {}).pop(pk, None)

    def clear(self, schema: str, table: str) -> None:
        self._rows.pop((schema, table), None)

    def table(self, schema: str, table: str) -> sqlalchemy.Table | None:
        return self._tables.get((schema, table))

    def fetch(self, schema: str, table: str, pks: Sequence[Pk]) -> dict[Pk, dict[str, Any]]:
        rows = self._rows.get((schema, table), {})
        return {pk: rows[pk] for pk in pks if pk in rows}

    def existing(self, schema: str, table: str, pks: Sequence[Pk]) -> set[Pk]:
        return set(self.fetch(schema, table, pks))

    def close(self) -> None: ...
