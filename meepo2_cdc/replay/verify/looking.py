"""
Rows of the source by their keys, as exactly as targets tell keys apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

from sqlalchemy import Table

from meepo2_cdc.records import KeyPart
from meepo2_cdc.replay.keys import KeyMismatch, key_maker
from meepo2_cdc.replay.source_ranges import Place

Key = tuple[KeyPart, ...]
Row = Mapping[str, Any]


class Rows(Protocol):
    """What is needed of `SourceRows`."""

    def table(self, schema: str, table: str) -> Table | None: ...

    def fetch(self, schema: str, table: str, pks: Sequence[Key]) -> dict[Key, dict[str, Any]]: ...

    def behind(
        self, schema: str, table: str, place: Place | None, limit: int
    ) -> tuple[list[dict[str, Any]], Place | None]: ...

    def skip(self, schema: str, table: str, place: Place | None, rows: int) -> Place | None: ...


def exact_rows(rows: Rows, schema: str, table: str, pks: Sequence[Key]) -> dict[Key, Row | None]:
    """
    Each key's row; None where the source has none that is spelled so.

    A key that is not of the form of the table's key names no row of it.
    """
    try:
        found = rows.fetch(schema, table, pks)
    except KeyMismatch as error:
        wrong = set(error.pks)
        found = rows.fetch(schema, table, [pk for pk in pks if pk not in wrong])
    definition = rows.table(schema, table) if found else None
    if definition is None:
        return dict.fromkeys(pks)
    key_of = key_maker(definition)
    return {pk: row if (row := found.get(pk)) is not None and key_of(row) == pk else None for pk in pks}


def digest(row: Row | None) -> str:
    """Of all values of a row; by it one sees later that a row is still what it was."""
    return "" if row is None else blake2b(repr(list(row.items())).encode(errors="replace"), digest_size=16).hexdigest()


def average_bytes(rows: Sequence[Row], of: int = 50) -> float:
    """About how much a row holds, by some of them."""
    step = max(1, len(rows) // of)
    some = rows[::step]
    return sum(map(_bytes, some)) / max(1, len(some))


def _bytes(row: Row) -> int:
    return sum(len(value) if isinstance(value, str | bytes) else 8 for value in row.values())


def keyed(table: Table, rows: Iterable[Row]) -> dict[Key, Row | None]:
    key_of = key_maker(table)
    return {key_of(row): row for row in rows}
