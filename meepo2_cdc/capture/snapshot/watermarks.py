"""
What of the log a query has seen: the two questions that make a chunk of rows fit into the stream of changes.

A chunk is sound when (1) its query sees every transaction that the stream had given out when the chunk was asked for,
and (2) of each key that the stream gives out between that moment and the chunk's place, the chunk says nothing.  Then
no row of it can overtake a later change: either the change is behind its place, or the row was left out.

MySQL: a transaction is in gtid_executed only when its engine has committed it, so a query that begins with it there
sees it.  File and position run ahead of the engine, and say nothing of it.
MariaDB: START TRANSACTION WITH CONSISTENT SNAPSHOT tells the log's exact position of what it sees, in
binlog_snapshot_file and binlog_snapshot_position.  gtid_binlog_pos runs ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.errors import SourceUnavailable
from meepo2_cdc.records.position import LogPosition, MysqlGtidSet

Ask = Callable[..., list[dict[str, Any]]]

_PATIENCE_SECONDS = 30.0
_LEAST_PAUSE_SECONDS = 0.001
_MOST_PAUSE_SECONDS = 0.05


class Watermark(Protocol):
    """What a chunk has seen, at most."""

    def is_reached(self, position: Position) -> bool:
        """Whether a stream at this position, between two transactions, has given out all of it."""


class Gtids:
    """Of MySQL."""

    def __init__(self, gtids: MysqlGtidSet) -> None:
        self._gtids = gtids

    def is_reached(self, position: Position) -> bool:
        return position.gtids is not None and self._gtids.is_within(position.gtids)


class LogPlaceMark:
    """Of MariaDB."""

    def __init__(self, at: LogPosition) -> None:
        self._at = at

    def is_reached(self, position: Position) -> bool:
        return LogPosition(position.file, position.offset).order >= self._at.order


def begin(ask: Ask, flavor: str, position: Position) -> Watermark | None:
    """
    Begins a transaction whose queries see all before `position`.  What it sees at most, if that is known already.

    Raises SourceUnavailable when the server does not commit for long what it has logged.
    """
    if flavor == "mysql":
        _until(lambda: _has_executed(ask, position) or None)
        ask("START TRANSACTION")
        return None
    return _until(lambda: _consistent_snapshot(ask, LogPosition(position.file, position.offset)))


def end(ask: Ask, known: Watermark | None) -> Watermark:
    """Ends the transaction behind its query."""
    if known is None:
        # what was purged does not come any more; the capture has read it, or has stopped
        row = ask("SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged) AS gtids")[0]
        known = Gtids(MysqlGtidSet(str(row["gtids"])))
    ask("COMMIT")
    return known


def _has_executed(ask: Ask, position: Position) -> bool:
    return bool(ask("SELECT GTID_SUBSET(%s, @@GLOBAL.gtid_executed) AS yes", str(position.gtids))[0]["yes"])


def _consistent_snapshot(ask: Ask, least: LogPosition) -> Watermark | None:
    ask("START TRANSACTION WITH CONSISTENT SNAPSHOT")
    rows = ask("SHOW STATUS LIKE 'binlog\\_snapshot\\_%'")
    status = {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}
    at = LogPosition(status["binlog_snapshot_file"], int(status["binlog_snapshot_position"]))
    if at.order >= least.order:
        return LogPlaceMark(at)
    ask("ROLLBACK")
    return None


_T = TypeVar("_T")


def _until(found: Callable[[], _T | None]) -> _T:
    """What `found` gives as soon as it is not None."""
    began, pause = time.monotonic(), _LEAST_PAUSE_SECONDS
    while (result := found()) is None:
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise SourceUnavailable(
                f"the source does not commit since {_PATIENCE_SECONDS:.0f} s what is in its log already"
            )
        time.sleep(pause)
        pause = min(2 * pause, _MOST_PAUSE_SECONDS)
    return result
