"""
What travels: one changed row by its primary key.

Values only; knows nothing of bytes, sockets or where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

KeyPart = int | float | str | bytes


class Action(str, Enum):
    """What happened to the row (or, for TRUNCATE, to the whole table)."""

    WRITE = "write"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"

    __str__ = str.__str__
    __hash__ = str.__hash__  # Enum's own is a Python function, and readers hash hundreds of thousands a second


@dataclass(frozen=True, slots=True)
class Source:
    """
    Where a change stands in its source.

    `position` is the byte of `file` at which the transaction begins; `row` counts the captured rows of the
    transaction from 0.
    """

    name: str
    gtid: str | None
    file: str | None
    position: int | None
    row: int


@dataclass(frozen=True, slots=True)
class TableAction:
    """
    One changed row.

    `pk` holds the parts of the primary key in key order and is empty for a truncate; `committed_at` is aware,
    in UTC; `seq` increases by one per record of a source.
    """

    action: Action
    schema: str
    table: str
    pk: tuple[KeyPart, ...]
    committed_at: datetime
    snapshot: bool
    seq: int
    source: Source

    @property
    def qualified_table(self) -> str:
        """`schema.table`, as filters and people write it."""
        return f"{self.schema}.{self.table}"
