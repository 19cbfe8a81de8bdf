"""
Positions as checkpoints, and checkpoints as positions.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import meepo2_cdc
from meepo2_cdc.capture.binlog.transactions import Position, Undecided
from meepo2_cdc.records.checkpoint import Checkpoint, UndecidedXa
from meepo2_cdc.records.position import GtidSet, gtid_set
from meepo2_cdc.records.snapshot import Snapshot

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Identified(Protocol):
    """A source that says what it is."""

    identity: str

    @property
    def flavor(self) -> str: ...


def first_seq() -> int:
    """Where seq begins without a checkpoint: above all that an earlier capture can have given."""
    return time.time_ns() // 1_000_000 * 1000


def checkpoint_at(
    position: Position,
    source: Identified,
    *,
    name: str,
    seq: int,
    tables: tuple[str, ...],
    committed_us: int | None,
    snapshots: tuple[Snapshot, ...] = (),
    control_offset: int | None = None,
) -> Checkpoint:
    """`seq` is that of the last record; `committed_us` when the source committed what was read last."""
    undecided = position.undecided
    return Checkpoint(
        source=name,
        flavor=source.flavor,
        server=source.identity,
        gtid_set=_text(position.gtids),
        file=position.file,
        position=position.offset,
        gtid=position.gtid,
        rows_done=position.rows_done,
        undecided=(
            None if undecided is None else UndecidedXa(undecided.file, undecided.offset, _text(undecided.gtids))
        ),
        seq=seq,
        tables=tables,
        committed_at=None if committed_us is None else _EPOCH + timedelta(microseconds=committed_us),
        written_by=f"meepo2-cdc {meepo2_cdc.__version__} {socket.gethostname()}:{os.getpid()}",
        written_at=datetime.now(UTC),
        control_offset=control_offset,
        snapshots=snapshots,
    )


def _text(gtids: GtidSet | None) -> str | None:
    return None if gtids is None else str(gtids)


def position_of(checkpoint: Checkpoint, *, with_gtids: bool) -> Position:
    """The checkpoint as a position; without GTIDs where the server gives none any more."""

    def known(text: str | None) -> GtidSet | None:
        return gtid_set(checkpoint.flavor, text) if with_gtids and text is not None else None

    undecided = checkpoint.undecided
    return Position(
        checkpoint.file,
        checkpoint.position,
        known(checkpoint.gtid_set),
        checkpoint.gtid,
        checkpoint.rows_done,
        None if undecided is None else Undecided(undecided.file, undecided.position, known(undecided.gtid_set)),
    )
