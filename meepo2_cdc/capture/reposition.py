"""
Moving the checkpoint by hand: to where a capture shall go on.

A capture that runs is fenced first, as by any successor, and goes on from there when it is started again.  seq goes on
too, so that consumers see newer records and not repeated ones.
"""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import dataclass, replace

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.source import BinlogSource
from meepo2_cdc.capture.binlog.start import Start
from meepo2_cdc.capture.binlog.transactions import BEGAN, Position
from meepo2_cdc.capture.build import writer_of
from meepo2_cdc.capture.checkpointing import checkpoint_at, first_seq, position_of
from meepo2_cdc.capture.service import Source
from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.kafka.checkpoints import read_checkpoint
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.table_filter import TableFilter


@dataclass(frozen=True, slots=True)
class Move:
    """From the checkpoint in force, if there is one, to another."""

    before: Checkpoint | None
    after: Checkpoint


def move(settings: Settings, target: str, *, only_back: bool, dry_run: bool) -> Move:
    """
    Commits a checkpoint at `target`, in any form that --start takes.

    Raises ConfigError for a target that is not in the log, or, with `only_back`, not before the checkpoint in force.
    """
    topics = CaptureTopics(settings, connect(settings.kafka))
    tables = TableFilter(settings.tables)
    # a number of its own: with the capture's, the server would end the dump of the one that runs
    server_id = random.randrange(1 << 31, 1 << 32)  # noqa: S311
    with closing(BinlogSource(settings.source, server_id, tables)) as source:
        source.prepare()
        position = resolved(source, source.begin(target), tables)
        if dry_run:
            before = read_checkpoint(settings.kafka, topics.checkpoint, settings.source.name)
        else:
            topics.ensure_checkpoint_topic()
            writer = writer_of(settings, topics)
            before = writer.open()
        if only_back:
            _refuse_forward(before, position)
        seq = first_seq() if before is None else before.seq
        name = settings.source.name
        after = checkpoint_at(position, source, name=name, seq=seq, tables=tables.globs, committed_us=None)
        if before is not None:  # what was asked for is still wanted
            after = replace(after, snapshots=before.snapshots, control_offset=before.control_offset)
        if not dry_run:
            writer.write({}, after)
        return Move(before, after)


def _refuse_forward(before: Checkpoint | None, position: Position) -> None:
    if before is None:
        raise ConfigError("there is no checkpoint to rewind", fix="See --prefix and --source-name.")
    now = position_of(before, with_gtids=position.gtids is not None)
    if not _is_before(position, now):
        raise ConfigError(
            f"the checkpoint is {now.file}:{now.offset}, and {position.file}:{position.offset} is not before it:"
            " that would leave changes out",
            fix="`meepo2-cdc checkpoint set` goes there all the same.",
        )


def _is_before(position: Position, now: Position) -> bool:
    if position.gtids is not None and now.gtids is not None:
        return position.gtids.is_within(now.gtids)
    return LogPosition(position.file, position.offset).order <= LogPosition(now.file, now.offset).order


def resolved(source: Source, start: Start, tables: TableFilter) -> Position:
    """The position of the first transaction that counts; of the log's end when none does."""
    end = source.end()
    reader = ChangeReader(
        start.position,
        tables,  # XA transactions that are prepared on the way are undecided at the position
        source.catalog,
        since=start.since,
        learn_gtids=source.has_gtids,
        skip_unreadable=True,
    )

    if not reader.has_reached(end):
        with source.read(start.position) as stream:
            for change in reader.changes(stream):
                if change is BEGAN or reader.has_reached(end):
                    break
    return reader.position
