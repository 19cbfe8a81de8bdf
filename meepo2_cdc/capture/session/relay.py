"""
The relay: moves the rows of an outbox to Kafka, each exactly once, and removes them.

Ids become visible out of order, since a transaction with a low one may commit late; so no position is kept in them.  A
row is published if and only if it is gone or a committed checkpoint names it:

1. every earlier relay is fenced, and only then the checkpoint is read;
2. the rows that it names are removed: they are published;
3. rows are read in the order of their ids: two changes of one row have ids in the order of their commits, since the
   first's row lock was held until its end;
4. their records and a checkpoint that names them are committed in one Kafka transaction;
5. they are removed, and only when that is committed come the next: 3.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

import meepo2_cdc
from meepo2_cdc.capture.checkpointing import first_seq
from meepo2_cdc.capture.encoder import Topic
from meepo2_cdc.capture.session.encoding import Encoder
from meepo2_cdc.capture.session.outbox import changes_in
from meepo2_cdc.capture.session.outbox_rows import OutboxRows, Row
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import PositionLost, UnreadableData
from meepo2_cdc.kafka.checkpoints import read_newest
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.observe import metrics
from meepo2_cdc.observe.vitals import Vitals
from meepo2_cdc.records import Source
from meepo2_cdc.records.relay_checkpoint import OutboxRow, RelayCheckpoint, decode_relay_checkpoint

log = structlog.get_logger()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOGGED_SECONDS = 60


class RelayWriter(TransactionalWriter):
    """Records and the relay's own kind of checkpoint."""

    def _read(self) -> RelayCheckpoint | None:
        newest = read_newest(self._kafka, self._checkpoint_topic, self._source)
        return None if newest is None else decode_relay_checkpoint(newest)


class Topics(Protocol):
    """The topics that the relay writes to."""

    def ensure_checkpoint_topic(self) -> None: ...

    def refuse_existing_records(self) -> None: ...

    def open(self, schema: str, table: str) -> Topic: ...


class Relay:
    """
    Moves rows until `stop` is called, or, with `once`, until the outbox is empty.

    `run` raises the errors of meepo2_cdc.errors; after any of them a new process goes on exactly where this one was.
    """

    def __init__(
        self,
        settings: Settings,
        outbox: OutboxRows,
        writer: TransactionalWriter,
        topics: Topics,
        *,
        once: bool = False,
        without_checkpoint: bool = False,
    ) -> None:
        self._settings = settings.session
        self._outbox = outbox
        self._writer = writer
        self._topics = topics
        self._once = once
        self._without_checkpoint = without_checkpoint
        self.stopping = threading.Event()
        self.progress = Vitals()
        tombstones = "compact" in settings.topics.cleanup_policy
        self._encoder = Encoder(topics.open, tombstones=tombstones)
        self._logged_at = time.monotonic()

    def stop(self) -> None:
        """Ends `run` soon, behind the batch at hand.  May be called from a signal handler."""
        self.stopping.set()

    def refuse_successor(self) -> None:
        """Raises Fenced when another instance has gone on behind what this one published."""
        self._writer.refuse_successor()

    def run(self) -> None:
        with closing(self._outbox), closing(self._writer):
            self._outbox.prepare()
            self._topics.ensure_checkpoint_topic()
            if self.stopping.is_set():  # whoever relays now must not be fenced any more
                return
            self._open()
            self.progress.enter("running")
            while not self.stopping.is_set():
                self.progress.moved()
                if self._move() == 0:
                    if self._once:
                        break
                    self.stopping.wait(self._settings.poll_ms / 1000)
            self.progress.enter("ended")
            log.info("Relay ended", seq=self._encoder.seq)

    def _open(self) -> None:
        checkpoint: RelayCheckpoint | None = self._writer.open()
        if checkpoint is None:
            self._refuse_existing_records()
            self._encoder.seq = first_seq()
            # what a first batch leaves that is never committed must not look like records without a checkpoint
            self._writer.write({}, self._checkpoint([]))
        else:
            self._refuse_other_outbox(checkpoint)
            self._encoder.seq = checkpoint.seq
            self._outbox.remove([Row(one.id, one.transaction_id, 0, "") for one in checkpoint.rows])
        log.info(
            "Relay started", source=self._settings.name, outbox=self._outbox.name, database=self._outbox.address,
            seq=self._encoder.seq, first_start=checkpoint is None,
        )  # fmt: skip

    def _refuse_existing_records(self) -> None:
        """What was published behind a checkpoint that is gone may not have been removed."""
        if self._without_checkpoint:
            return
        try:
            self._topics.refuse_existing_records()
        except PositionLost as error:
            self._writer.refuse_successor()
            raise PositionLost(
                error.found,
                fix="It was deleted, or emptied.  Ways out:\n"
                "- `meepo2-cdc relay --without-checkpoint` goes on with what is in the outbox: at most the last batch\n"
                "  is published twice;\n- begin under a new [session] name.",
            ) from error

    def _refuse_other_outbox(self, checkpoint: RelayCheckpoint) -> None:
        if checkpoint.outbox != self._outbox.name:
            raise PositionLost(
                f"the checkpoint of {self._settings.name!r} is that of the outbox {checkpoint.outbox}, and"
                f" session.outbox_table is now {self._outbox.name}",
                fix="Give each outbox a [session] name of its own.",
            )

    def _move(self) -> int:
        """One batch from the outbox to Kafka; how many rows it had."""
        rows = self._outbox.read(self._settings.batch_rows)
        if not rows:
            return 0
        for row in rows:
            self._encode(row)
        messages, counts = self._encoder.take()
        checkpoint = self._checkpoint(rows)
        self._writer.write(messages, checkpoint)
        self._outbox.remove(rows)
        metrics.count_records(counts)
        metrics.SEQ.set(checkpoint.seq)
        metrics.COMMITTED_AT.set(rows[-1].flushed_at / 1e6)
        self._log(checkpoint, len(rows))
        return len(rows)

    def _encode(self, row: Row) -> None:
        try:
            changes = changes_in(row.changes)
        except UnreadableData as error:
            raise UnreadableData(f"{error.found} (id {row.id} of {self._outbox.name})", fix=error.fix) from error
        at = _EPOCH + timedelta(microseconds=row.flushed_at)
        for number, change in enumerate(changes):
            source = Source(self._settings.name, row.transaction_id, self._outbox.name, row.id, number)
            self._encoder.add(change, at, source)

    def _checkpoint(self, rows: Sequence[Row]) -> RelayCheckpoint:
        return RelayCheckpoint(
            source=self._settings.name,
            outbox=self._outbox.name,
            seq=self._encoder.seq,
            rows=tuple(OutboxRow(row.id, row.transaction_id) for row in rows),
            written_by=f"meepo2-cdc {meepo2_cdc.__version__} {socket.gethostname()}:{os.getpid()}",
            written_at=datetime.now(UTC),
        )

    def _log(self, checkpoint: RelayCheckpoint, rows: int) -> None:
        if time.monotonic() - self._logged_at > _LOGGED_SECONDS:
            self._logged_at = time.monotonic()
            log.info("Rows of the outbox were relayed", seq=checkpoint.seq, rows=rows)


def relay(settings: Settings, *, once: bool = False, without_checkpoint: bool = False) -> tuple[Settings, Any]:
    """The relay of a real outbox into a real Kafka, and the settings under whose names it runs."""
    from meepo2_cdc.capture.session.building import as_source, database_of
    from meepo2_cdc.capture.topics import CaptureTopics
    from meepo2_cdc.kafka.clients import connect

    settings = as_source(settings)
    outbox = OutboxRows(database_of(settings), settings.session.outbox_table, settings.session.reconnect_seconds)
    topics = CaptureTopics(settings, connect(settings.kafka))
    writer = RelayWriter(
        settings.kafka,
        transactional_id=f"{settings.prefix}.{settings.session.name}",
        checkpoint_topic=topics.checkpoint,
        source=settings.session.name,
    )
    return settings, Relay(settings, outbox, writer, topics, once=once, without_checkpoint=without_checkpoint)
