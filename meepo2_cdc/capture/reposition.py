"""
Moving the checkpoint by hand: to where a capture shall go on.

The running capture is fenced first, as by any successor; seq goes on, so that consumers see newer records, not repeated
ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.start import Start
from meepo2_cdc.capture.binlog.transactions import IDLE, Position
from meepo2_cdc.capture.filter import TableFilter
from meepo2_cdc.capture.service import CaptureService, Source
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition

_NOTHING = TableFilter(["!*.*"])


@dataclass(frozen=True, slots=True)
class Move:
    """From the checkpoint in force, if there is one, to another position."""

    before: Checkpoint | None
    after: Position


def resolved(source: Source, start: Start) -> Position:
    """The position of the first transaction that counts; of the log's end when none does."""
    reader = ChangeReader(
        start.position,
        _NOTHING,
        source.catalog,
        since=start.since,
        learn_gtids=source.has_gtids,
        skip_unreadable=True,
    )
    here = reader.reading
    with source.read(start.position) as stream:
        for change in reader.changes(stream):
            if change is IDLE and here.file:
                break
            if not reader.is_waiting:
                return here
            here = reader.reading
    return here
