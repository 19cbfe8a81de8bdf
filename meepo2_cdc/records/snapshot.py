"""
How far the snapshots of tables are: a part of the checkpoint.  Values only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

KeyValues = tuple[bytes, ...]
"""A key's values as the server sends them in its text protocol, in their columns' character sets."""


class Outcome(StrEnum):
    """How the snapshot of a table ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    GONE = "gone"
    REFUSED = "refused"


class TableName(NamedTuple):
    """A table by its name."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class TableProgress:
    """
    The table that is read now.

    `key` are its key columns with their types, empty until it was looked at; `after` is the key of the last row that
    was published, `until` the greatest key there was at the beginning.
    """

    schema: str
    table: str
    started_at: datetime
    key: str = ""
    after: KeyValues | None = None
    until: KeyValues | None = None
    rows: int = 0
    rows_expected: int | None = None

    @property
    def name(self) -> TableName:
        return TableName(self.schema, self.table)


@dataclass(frozen=True, slots=True)
class TableEnd:
    """A table whose snapshot is over.  `started_at` is None where it never began."""

    schema: str
    table: str
    outcome: Outcome
    why: str
    rows: int
    started_at: datetime | None
    ended_at: datetime

    @property
    def name(self) -> TableName:
        return TableName(self.schema, self.table)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one request asked for, and what has become of it: fields as in schemas/checkpoint/v2.avsc."""

    id: str
    requested_at: datetime
    where: str | None
    chunk_rows: int
    rate: int | None
    paused: bool = False
    waiting: tuple[TableName, ...] = ()
    current: TableProgress | None = None
    rows: int = 0
    tables_ended: int = 0
    ended: tuple[TableEnd, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.current is None and not self.waiting

    @property
    def rows_so_far(self) -> int:
        return self.rows + (0 if self.current is None else self.current.rows)


def snapshot_of(found: dict[str, Any]) -> Snapshot:
    """From the fields that were decoded."""
    current = found["current"]
    if current is not None:
        current = TableProgress(**(current | {name: _values(current[name]) for name in ("after", "until")}))
    ended = tuple(TableEnd(**(one | {"outcome": Outcome(one["outcome"])})) for one in found["ended"])
    waiting = tuple(TableName(**one) for one in found["waiting"])
    return Snapshot(**(found | {"current": current, "ended": ended, "waiting": waiting}))


def _values(found: list[bytes] | None) -> KeyValues | None:
    return None if found is None else tuple(found)


def fields_of(snapshot: Snapshot) -> dict[str, Any]:
    """As Avro and JSON have them."""
    return _fields(snapshot) | {
        "waiting": [one._asdict() for one in snapshot.waiting],
        "current": None if snapshot.current is None else _fields(snapshot.current),
        "ended": [_fields(one) for one in snapshot.ended],
    }


def _fields(one: Snapshot | TableProgress | TableEnd) -> dict[str, Any]:
    """Lists for tuples, which in a union fastavro takes for a branch and a value."""
    found = ((name, getattr(one, name)) for name in type(one).__slots__)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found}
