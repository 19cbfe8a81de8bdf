"""
The checkpoint topic: its making, and the reading of the last committed checkpoint.

One partition, compacted, one topic for each capture, so that nobody else's open transaction can hide the newest record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from meepo2_cdc.errors import Error
from meepo2_cdc.kafka.clients import is_final, quiet
from meepo2_cdc.records.checkpoint import Checkpoint, decode_checkpoint

TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    "segment.ms": "600000",
    "segment.bytes": str(16 << 20),
    "min.cleanable.dirty.ratio": "0.01",
}
_DEADLINE_SECONDS = 60
_PAUSE_SECONDS = 0.2
_TAIL = 1000
_PASSING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
)
"""What a broker says that has only just started."""


def read_checkpoint(kafka: Mapping[str, str], topic: str, source: str) -> Checkpoint | None:
    """The last committed checkpoint of the source, or None when there is none or no topic."""
    newest = read_newest(kafka, topic, source)
    return None if newest is None else decode_checkpoint(newest)


def read_newest(kafka: Mapping[str, str], topic: str, source: str) -> bytes | None:
    """
    The last committed value under the source's name.

    Reads up to the high watermark, never to "the end of the partition": under read_committed that end is where the
    first open transaction begins, and may hide the newest checkpoint.
    """
    extent = _extent(kafka, topic)
    if extent is None:
        return None
    low, high = extent
    consumer = _consumer(kafka, "read_committed")
    try:
        newest = _last(consumer, topic, source, max(low, high - _TAIL), high)
        if newest is None and high - _TAIL > low:
            newest = _last(consumer, topic, source, OFFSET_BEGINNING, high)
        return newest
    finally:
        consumer.close()


def _consumer(kafka: Mapping[str, str], isolation: str) -> Consumer:
    return Consumer({
        **quiet(kafka),
        "group.id": "meepo2-cdc.none",  # required by the client; nothing is committed or joined
        "enable.auto.commit": False,
        "isolation.level": isolation,
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 20,
    })  # fmt: skip


def _extent(kafka: Mapping[str, str], topic: str) -> tuple[int, int] | None:
    """First offset and high watermark.  Asked as read_uncommitted: the other view ends before open transactions."""
    consumer = _consumer(kafka, "read_uncommitted")
    deadline = time.monotonic() + _DEADLINE_SECONDS
    try:
        while True:
            try:
                found: tuple[int, int] = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
                return found
            except KafkaException as error:
                if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION):
                    return None
                if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
    finally:
        consumer.close()


def _last(consumer: Consumer, topic: str, source: str, start: int, high: int) -> bytes | None:
    if high == 0:
        return None
    consumer.assign([TopicPartition(topic, 0, start)])
    newest: bytes | None = None
    deadline = time.monotonic() + _DEADLINE_SECONDS
    at = start
    while at < high:
        if time.monotonic() > deadline:
            raise Error(
                f"the checkpoint topic {topic} could be read to offset {at} only, and ends at {high}",
                fix="A transaction in it is still open.  It ends by itself within transaction.timeout.ms; try again.",
            )
        for message in consumer.consume(500, timeout=0.2):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            at = max(at, (message.offset() or 0) + (error is None))
            if error is None and message.key() == source.encode() and message.value() is not None:
                newest = message.value()
    return newest


class CheckpointTail:
    """The checkpoints of a source as they are committed, from the last one on; a context manager."""

    def __init__(self, kafka: Mapping[str, str], topic: str, source: str) -> None:
        self._key = source.encode()
        self.last: Checkpoint | None = None
        low, high = _extent(kafka, topic) or (0, 0)
        self._at = max(low, high - _TAIL)
        self._consumer = _consumer(kafka, "read_committed")
        self._consumer.assign([TopicPartition(topic, 0, self._at)])
        self._catch_up(high)

    def __enter__(self) -> CheckpointTail:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def wait(self, wanted: Callable[[Checkpoint], bool], seconds: float | None) -> Checkpoint | None:
        """The first one that is wanted, the last one known included; None when there was none in time."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.last is None or not wanted(self.last):
            if deadline is not None and time.monotonic() > deadline:
                return None
            self._take()
        return self.last

    def _catch_up(self, high: int) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self._at < high and time.monotonic() < deadline:
            self._take()

    def _take(self) -> None:
        """Whatever has come; the last of it counts."""
        newest: bytes | None = None
        for message in self._consumer.consume(500, timeout=_PAUSE_SECONDS):
            error = message.error()
            if error is not None and is_final(error):
                raise KafkaException(error)
            self._at = max(self._at, (message.offset() or 0) + (error is None))
            if error is None and message.key() == self._key and message.value() is not None:
                newest = message.value()
        if newest is not None:
            self.last = decode_checkpoint(newest)
