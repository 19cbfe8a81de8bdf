"""
What becomes of snapshots: requests heeded, chunks done, tables ended.  Values in, values out; knows no thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import cast

from meepo2_cdc.capture.snapshot.requests import Cancel, Pause, Request, Resume, Start
from meepo2_cdc.records.snapshot import KeyValues, Outcome, Snapshot, TableEnd, TableName, TableProgress

KEPT_SNAPSHOTS = 10
KEPT_ENDS = 50
"""As much of what is over as a person wants to see, and as a checkpoint may carry each time."""

Snapshots = tuple[Snapshot, ...]


def heed(snapshots: Snapshots, request: Request, now: datetime) -> Snapshots:
    """After a request.  A table that is read or waits already is not read twice by one that has no condition."""
    match request:
        case Start():
            return pruned((*snapshots, _started(request)))
        case Pause() | Resume():
            paused = isinstance(request, Pause)
            return tuple(replace(one, paused=paused) if _meant(one, request.id) else one for one in snapshots)
        case Cancel():
            return tuple(_cancelled(one, request, now) if _meant(one, request.id) else one for one in snapshots)


def _started(request: Start) -> Snapshot:
    return Snapshot(
        id=request.id,
        requested_at=request.at,
        where=request.where,
        chunk_rows=request.chunk_rows,
        rate=request.rate,
        waiting=request.tables,
    )


def _meant(one: Snapshot, wanted: str | None) -> bool:
    return not one.is_over and wanted in (None, one.id)


def _cancelled(one: Snapshot, request: Cancel, now: datetime) -> Snapshot:
    """Of the tables named, or of all."""
    for name in one.waiting:
        if not request.tables or name in request.tables:
            one = _ended(one, TableEnd(*name, Outcome.CANCELLED, "", 0, None, now))
    waiting = tuple(name for name in one.waiting if request.tables and name not in request.tables)
    one = replace(one, waiting=waiting)
    if one.current is not None and (not request.tables or one.current.name in request.tables):
        return end(one, Outcome.CANCELLED, "", now)
    return one


def active(snapshots: Snapshots) -> Snapshot | None:
    """The one that is read: the first that is neither over nor paused."""
    return next((one for one in snapshots if not one.is_over and not one.paused), None)


def begun(one: Snapshot, now: datetime) -> Snapshot:
    """With a table that is read: the next one, where there is none."""
    if one.current is not None or not one.waiting:
        return one
    first, *waiting = one.waiting
    return replace(one, current=TableProgress(*first, started_at=now), waiting=tuple(waiting))


def advanced(
    one: Snapshot, *, rows: int, after: KeyValues | None, until: KeyValues | None, key: str, expected: int | None,
    restarted: bool,
) -> Snapshot:  # fmt: skip
    """With a chunk done."""
    current = cast(TableProgress, one.current)
    if restarted:
        current = replace(current, rows=0, after=None)
    current = replace(
        current,
        key=key,
        after=after or current.after,
        until=until,
        rows=current.rows + rows,
        rows_expected=current.rows_expected if expected is None else expected,
    )
    return replace(one, current=current)


def end(one: Snapshot, outcome: Outcome, why: str, now: datetime) -> Snapshot:
    """With its current table ended."""
    current = cast(TableProgress, one.current)
    ended = TableEnd(*current.name, outcome, why, current.rows, current.started_at, now)
    return replace(_ended(one, ended), current=None, rows=one.rows + current.rows)


def _ended(one: Snapshot, ended: TableEnd) -> Snapshot:
    kept = [*one.ended, ended]
    if len(kept) > KEPT_ENDS:
        done = next((table for table in kept if table.outcome is Outcome.DONE), kept[0])
        kept.remove(done)
    return replace(one, ended=tuple(kept), tables_ended=one.tables_ended + 1)


def pruned(snapshots: Snapshots) -> Snapshots:
    """Without those that have been over for longest."""
    over = [one for one in snapshots if one.is_over]
    gone = over[: max(0, len(over) - KEPT_SNAPSHOTS)]
    return tuple(one for one in snapshots if one not in gone)


def updated(snapshots: Snapshots, one: Snapshot) -> Snapshots:
    return tuple(one if each.id == one.id else each for each in snapshots)


def tables_waiting(snapshots: Iterable[Snapshot]) -> int:
    return sum(len(one.waiting) + (one.current is not None) for one in snapshots)


def fraction(one: TableProgress) -> float | None:
    """By the server's estimate, so never quite 1; None where it gave none."""
    if not one.rows_expected:
        return None
    return min(0.99, one.rows / one.rows_expected)


def names(found: Iterable[str]) -> tuple[TableName, ...]:
    """From schema.table; raises ValueError for what is none."""
    return tuple(_name(text) for text in found)


def _name(text: str) -> TableName:
    schema, dot, table = text.partition(".")
    if not (schema and dot and table):
        raise ValueError(f"{text!r} is no schema.table")
    return TableName(schema, table)
