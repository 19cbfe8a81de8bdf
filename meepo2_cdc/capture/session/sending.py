"""
Sending committed transactions to Kafka from the application's own process: in their order, each until it is there.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
import structlog
from confluent_kafka import KafkaException, Producer
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from meepo2_cdc.capture.session.building import as_source
from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.capture.session.doubts import Doubts
from meepo2_cdc.capture.session.encoding import Encoder
from meepo2_cdc.capture.session.markers import Markers
from meepo2_cdc.capture.session.recovery import Recovery
from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import Error, KafkaUnavailable
from meepo2_cdc.kafka.clients import connect, quiet
from meepo2_cdc.observe import metrics
from meepo2_cdc.records import Source

log = structlog.get_logger()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_WAITING = 10_000
_TRY_SECONDS = 10.0
_PAUSE_SECONDS = 1.0
FAILURES = (Error, KafkaException, redis.RedisError, SQLAlchemyError, OSError)


class Sent:
    """A committed transaction on its way; `first_seq` is its first change's, `kept` that its marker holds them."""

    def __init__(
        self, transaction: str, first_seq: int, committed_us: int, changes: list[Change], *, kept: bool = False
    ) -> None:
        self.kept = kept
        self.transaction = transaction
        self.first_seq = first_seq
        self.committed_us = committed_us
        self.changes = changes
        self._done = threading.Event()

    def done(self) -> None:
        self._done.set()

    def wait(self, seconds: float) -> bool:
        return self._done.wait(seconds)


class KafkaEnd:
    """Where transactions go.  Not safe to use from two threads at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = as_source(settings)
        self._encoder: Encoder | None = None
        self._producer: Producer | None = None

    def deliver(self, sent: Sent) -> None:
        """Returns when Kafka has all of it; raises when it does not, or is not known to."""
        encoder, producer = self._open()
        encoder.seq = sent.first_seq - 1
        at = _EPOCH + timedelta(microseconds=sent.committed_us)
        for number, change in enumerate(sent.changes):
            encoder.add(change, at, Source(self._settings.session.name, sent.transaction, None, None, number))
        messages, counts = encoder.take()
        failed: list[Any] = []
        for topic, batch in messages.items():
            for value, key, partition, timestamp in batch:
                producer.produce(
                    topic, value, key, partition, timestamp=timestamp,
                    on_delivery=lambda error, _: failed.append(error) if error is not None else None,
                )  # fmt: skip
        left = producer.flush(_TRY_SECONDS)
        if left or failed:
            producer.purge()
            producer.flush(_PAUSE_SECONDS)
            raise KafkaUnavailable(f"Kafka did not take a transaction: {failed[0].str() if failed else 'no answer'}")
        metrics.count_records(counts)

    def _open(self) -> tuple[Encoder, Producer]:
        if self._encoder is None or self._producer is None:
            topics = CaptureTopics(self._settings, connect(self._settings.kafka))
            tombstones = "compact" in self._settings.topics.cleanup_policy
            self._encoder = Encoder(topics.open, tombstones=tombstones)
            self._producer = Producer({
                "linger.ms": 0,
                **quiet(self._settings.kafka),
                "enable.idempotence": True,
                "message.timeout.ms": int(_TRY_SECONDS * 1000),
                "partitioner": "murmur2_random",
            })  # fmt: skip
        self._encoder.take()  # what an attempt left that failed halfway
        return self._encoder, self._producer


class Sender:
    """A thread of its own; what it cannot deliver it tries again, and the commits behind it do not wait for it."""

    def __init__(self, settings: Settings, doubts: Doubts, engine: Engine | None) -> None:
        self.pid = os.getpid()
        self._doubts = doubts
        self._kafka = KafkaEnd(settings)
        self._markers = None if engine is None else Markers(engine, settings.session.marker_table)
        self._recovery = (
            None if self._markers is None else Recovery(settings, doubts, self._markers, self._kafka.deliver)
        )
        self._every = settings.session.settle_seconds
        self._waiting: deque[Sent] = deque()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._behind = False
        self._unsettled = False
        self._look_at = 0.0
        self._thread = threading.Thread(target=self._run, name="meepo2-cdc-sender", daemon=True)

    def start(self) -> None:
        if self._recovery is None:
            log.warning(
                "No engine is known to ask what became of transactions in doubt; run `meepo2-cdc recover`",
                fix="sqlalchemy_pub(engine=...)",
            )
        self._thread.start()

    def send(self, sent: Sent) -> Sent | None:
        """None when nobody should wait for it: those before it wait already, or it is left to the recovery."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(sent)
        self._wake.set()
        return None if self._behind else sent

    def look_soon(self) -> None:
        """A transaction is in doubt."""
        self._wake.set()

    def close(self, seconds: float) -> None:
        """Sends what it can until then; what is left is in doubt, and settled at the next start."""
        self._ending.set()
        self._wake.set()
        if self.pid == os.getpid():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._ending.is_set() or (self._waiting and not self._behind):
            if self._waiting:
                self._send_first()
            elif time.monotonic() >= self._look_at:
                self._recover()
            else:
                self._wake.wait(max(0.0, self._look_at - time.monotonic()))
                self._wake.clear()

    def _send_first(self) -> None:
        sent = self._waiting[0]
        try:
            self._kafka.deliver(sent)
        except FAILURES as error:
            if not self._behind:
                log.warning("A transaction waits to be published", why=str(error), waiting=len(self._waiting))
            self._behind = True  # those behind it need not wait, they would do so in vain
            self._ending.wait(_PAUSE_SECONDS)
            return
        self._behind = False
        self._waiting.popleft()
        sent.done()
        self._settled(sent)

    def _settled(self, sent: Sent) -> None:
        """What cannot be cleared now is published once more by a recovery, under the same seq."""
        try:
            self._doubts.clear(sent.transaction)
            if sent.kept and self._markers is not None:
                self._markers.remove(sent.transaction)
        except FAILURES as error:
            log.warning("A published transaction could not be cleared", why=str(error), transaction=sent.transaction)

    def _recover(self) -> None:
        try:
            if self._recovery is not None:
                self._recovery.settle({one.transaction for one in self._waiting})
            self._unsettled = False
        except FAILURES as error:
            if not self._unsettled:
                log.warning("What is in doubt could not be settled; it is tried again", why=str(error))
            self._unsettled = True
        self._look_at = time.monotonic() + self._every
