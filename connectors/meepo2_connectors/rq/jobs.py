"""
From a batch of changes to the calls that tell of it: few, each with a list of keys, in an order that is right for
every key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meepo2_cdc.records import Action, KeyPart, TableAction
from meepo2_cdc.records.telling import as_json, json_key_part


@dataclass(frozen=True, slots=True)
class Call:
    """One call; its arguments consist of what JSON has."""

    id: str
    """The same for the same records, whenever they come; letters, digits and dashes."""
    table: str
    action: str
    pks: list[Any]


def calls(batch: Sequence[TableAction], prefix: str) -> list[Call]:
    return [_call(records, prefix) for records in grouped(batch)]


def grouped(batch: Sequence[TableAction]) -> list[list[TableAction]]:
    """
    The records by table and action, as far as order allows.

    A record joins the last group of its table and action, unless its key is in a later one, or the table was truncated
    since; then it begins a new group.  So the groups one after the other tell each key's changes in their order.
    """
    groups: list[list[TableAction]] = []
    last_group: dict[tuple[str, str, Action], int] = {}
    newest: dict[tuple[str, str, tuple[KeyPart, ...]], int] = {}
    truncated: dict[tuple[str, str], int] = {}
    for record in batch:
        table = record.schema, record.table
        key = (*table, record.pk)
        least = max(newest.get(key, 0), truncated.get(table, 0))
        at = last_group.get((*table, record.action), -1)
        if at < least or record.action is Action.TRUNCATE:
            at = last_group[(*table, record.action)] = len(groups)
            groups.append([])
        groups[at].append(record)
        newest[key] = at
        if record.action is Action.TRUNCATE:
            truncated[table] = at
    return groups


def _call(records: Sequence[TableAction], prefix: str) -> Call:
    first, last = records[0], records[-1]
    named = [prefix, first.source.name, first.qualified_table, first.action.value, [one.seq for one in records]]
    digest = hashlib.sha256(as_json(named).encode()).hexdigest()[:16]
    pks = [] if first.action is Action.TRUNCATE else [_json_key(one.pk) for one in records]
    return Call(f"meepo2-{first.seq}-{last.seq}-{digest}", first.qualified_table, first.action.value, pks)


def _json_key(pk: tuple[KeyPart, ...]) -> Any:
    """The value itself where the key has one part, else a list, since JSON has no tuples."""
    parts = [json_key_part(part) for part in pk]
    return parts[0] if len(parts) == 1 else parts
