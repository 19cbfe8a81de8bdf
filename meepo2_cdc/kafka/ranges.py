"""
Messages of given ranges of offsets, each partition in its order; no consumer group exists, no offset is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from meepo2_cdc.errors import Error
from meepo2_cdc.kafka.clients import is_final, quiet, read_some
from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.offsets import Extent, Partition

_OURS: dict[str, Any] = {
    "group.id": "meepo2-cdc-no-group",  # librdkafka wants a name; without a subscription it never joins
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # a range that was removed meanwhile must not be passed over in silence
    "enable.partition.eof": True,
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 32_768,
    "max.poll.interval.ms": 86_400_000,  # a target may be away for long
}


class Claims(Protocol):
    """Who hears which partitions are read."""

    def assigned(self, partitions: Iterable[Partition]) -> None: ...


class RangeFeed:
    """Ends when every range was read.  Raises Error where part of one was removed meanwhile."""

    def __init__(self, kafka: Mapping[str, str], ranges: Mapping[Partition, Extent]) -> None:
        self._kafka = kafka
        self._ranges = ranges
        self._open = {one: extent for one, extent in ranges.items() if extent.begin < extent.end}
        self._next = {one: extent.begin for one, extent in ranges.items()}

    @property
    def ended(self) -> bool:
        return not self._open

    @property
    def passed(self) -> int:
        """How many offsets have been read, of all ranges together."""
        return sum(self._next[one] - extent.begin for one, extent in self._ranges.items())

    def open(self, claims: Claims) -> None:
        claims.assigned(self._open)
        self._consumer = Consumer(quiet(self._kafka) | _OURS)
        self._consumer.assign([TopicPartition(*one, extent.begin) for one, extent in self._open.items()])

    def read(self, most: int, seconds: float) -> list[Message]:
        return [one for one in read_some(self._consumer, most, seconds) if self._within(one)]

    def _within(self, message: Message) -> bool:
        partition, offset, error = Partition(message.topic(), message.partition()), message.offset(), message.error()
        extent = self._open.get(partition)
        if extent is None:
            return False  # behind the end of its range
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            self._heed(error, partition)
            return False
        inside = error is None and offset < extent.end
        self._next[partition] = min(extent.end, offset + inside)
        if self._next[partition] >= extent.end:
            del self._open[partition]
        return inside

    def _heed(self, error: KafkaError, partition: Partition) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise Error(
                f"{partition} was to be read from {self._next[partition]} to {self._open[partition].end}, "
                "and the broker removed part of that meanwhile (retention)",
                fix="Start again from a later offset, or from earliest.",
            )
        if is_final(error):
            raise KafkaException(error)

    standing: Literal["reading"] = "reading"

    def end(self) -> None:
        """Reads no further."""
        self._open.clear()

    def idle(self) -> None: ...

    def ends(self) -> tuple[()]:
        return ()

    def commit(self, positions: Mapping[Partition, int], *, wait: bool) -> None:
        """Nothing: a replay leaves no trace in Kafka."""

    def close(self) -> None:
        self._consumer.close()


class _Nobody:
    def assigned(self, partitions: Iterable[Partition]) -> None: ...


def messages_in(kafka: Mapping[str, str], ranges: Mapping[Partition, Extent]) -> Iterator[Message]:
    """All messages of the ranges, each partition's in their order."""
    feed = RangeFeed(kafka, ranges)
    feed.open(_Nobody())
    try:
        while not feed.ended:
            yield from feed.read(1000, 0.1)
    finally:
        feed.close()
