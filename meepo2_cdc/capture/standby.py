"""
Which of several instances captures: the one that holds the lock.

The lock is the one partition of `<prefix>.lock.<source>` in a consumer group of the classic protocol, which hands it on
six seconds after its holder fell silent, and at once when the holder leaves.  It only keeps instances from taking the
source away from each other; what makes it safe is the fencing by the writer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.observe.vitals import Vitals

log = structlog.get_logger()

SESSION_MS = 6000
_HEARTBEAT_MS = 500
_POLL_SECONDS = 0.2


class Lock:
    """
    Held by one instance at a time.

    `wait` blocks until it is held or `stopping` is set; once held, `lost` is called when it is taken away, from another
    thread.
    """

    def __init__(self, kafka: Mapping[str, str], topic: str, stopping: threading.Event) -> None:
        self._topic = topic
        self._stopping = stopping
        self._held = threading.Event()
        self._closing = threading.Event()
        self._lost: Callable[[], None] | None = None
        self._consumer = Consumer({
            **quiet(kafka),
            "group.id": topic,
            "group.protocol": "classic",
            "partition.assignment.strategy": "cooperative-sticky",  # a newcomer takes nothing away
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": _HEARTBEAT_MS,
            "enable.auto.commit": False,
        })  # fmt: skip
        self._thread = threading.Thread(target=self._keep, name="lock", daemon=True)

    def wait(self, lost: Callable[[], None], vitals: Vitals) -> bool:
        """Whether the lock is held now; False when the instance was stopped meanwhile."""
        self._lost = lost
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        self._thread.start()
        if not self._held.wait(_POLL_SECONDS * 5):
            log.info("Standing by until the lock is free", lock=self._topic)
            vitals.enter("standby")
        while not self._held.wait(_POLL_SECONDS):
            vitals.moved()
            if self._stopping.is_set():
                return False
        vitals.enter("starting")
        log.info("The lock is held: this instance captures", lock=self._topic)
        return True

    def close(self) -> None:
        """Leaves the group, so that the next instance need not wait for the session to end."""
        self._lost = None
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._consumer.close()

    def _keep(self) -> None:
        while not self._closing.is_set():
            message = self._consumer.poll(_POLL_SECONDS)
            if message is not None and message.error() is not None:
                log.warning("The lock's group reported an error", why=str(KafkaException(message.error())))

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._held.set()

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions and self._held.is_set() and not self._closing.is_set():
            self._held.clear()
            log.warning("The lock was lost", lock=self._topic)
            if self._lost is not None:
                self._lost()
