"""
Batches on their way into Kafka: one is committed by a thread of its own while the next is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import structlog

from meepo2_cdc.kafka.writer import Message
from meepo2_cdc.observe import metrics, traces
from meepo2_cdc.records.checkpoint import Checkpoint

log = structlog.get_logger()
_LOGGED_CHECKPOINTS_SECONDS = 60


class Writer(Protocol):
    """Where batches end, each whole or not at all."""

    def open(self) -> Checkpoint | None:
        """Shuts out every earlier writer, and only then reads the last checkpoint."""

    def write(self, messages: Mapping[str, list[Message]], checkpoint: Checkpoint) -> None:
        """Commits messages and checkpoint together; raises when it did not, or does not know."""

    def refuse_successor(self) -> None:
        """Raises Fenced when a later writer has committed a checkpoint."""

    def close(self) -> None: ...


class _Flight(NamedTuple):
    done: Future[None]
    counts: metrics.Counts
    checkpoint: Checkpoint
    since: float


class Committer:
    """
    Hands batches to the writer, one at a time and in order.  `executor` must have one thread.

    `await_source` is called before each batch that has records; it returns when the source has committed them itself.
    """

    def __init__(self, writer: Writer, executor: Executor, await_source: Callable[[Checkpoint], None]) -> None:
        self._writer = writer
        self._executor = executor
        self._await_source = await_source
        self._flight: _Flight | None = None
        self.last: Checkpoint | None = None
        """The last that is known to be committed; set by who read it, and from then on here."""
        self._logged_at = time.monotonic()

    def submit(
        self,
        messages: Mapping[str, list[Message]],
        counts: metrics.Counts,
        checkpoint: Checkpoint,
        waited_seconds: float = 0.0,
    ) -> None:
        """
        Starts a commit, behind the one before.

        `counts` are the records by table and action, `waited_seconds` for how long the first of them was collected.
        """
        self.settle()
        trace = traces.batch(waited_seconds, counts, checkpoint)
        done = self._executor.submit(self._write, messages, checkpoint, trace)
        self._flight = _Flight(done, counts, checkpoint, time.monotonic())

    @property
    def under_way_since(self) -> float | None:
        """When the commit under way began, by the monotonic clock; any thread may ask."""
        flight = self._flight
        return None if flight is None or flight.done.done() else flight.since

    @property
    def records_under_way(self) -> int:
        flight = self._flight
        return 0 if flight is None or flight.done.done() else sum(sum(one.values()) for one in flight.counts.values())

    def _write(
        self, messages: Mapping[str, list[Message]], checkpoint: Checkpoint, trace: AbstractContextManager[None]
    ) -> None:
        """By the executor's thread, and before the transaction begins: the source may take longer than that may."""
        with trace:
            if messages:
                self._await_source(checkpoint)
            self._writer.write(messages, checkpoint)

    def settle_if_done(self) -> None:
        """Raises early what a commit raised; waits for nothing."""
        if self._flight is not None and self._flight.done.done():
            self.settle()

    def settle(self) -> None:
        """Waits for the commit under way; raises what it raised."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        flight.done.result()
        self.last = flight.checkpoint
        metrics.count_records(flight.counts)
        metrics.SEQ.set(flight.checkpoint.seq)
        if flight.checkpoint.committed_at is not None:
            metrics.COMMITTED_AT.set(flight.checkpoint.committed_at.timestamp())
        self._log(flight.checkpoint)

    def _log(self, checkpoint: Checkpoint) -> None:
        if time.monotonic() - self._logged_at > _LOGGED_CHECKPOINTS_SECONDS:
            self._logged_at = time.monotonic()
            log.info("Checkpoint committed", seq=checkpoint.seq, file=checkpoint.file, position=checkpoint.position)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
