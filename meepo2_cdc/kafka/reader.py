"""
Ranges of data topics read to their end, in the order of `seq` over all partitions.

Assigns partitions itself: no consumer group exists, no offset is committed.  Knows nothing of why a range was
chosen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush, heapreplace
from typing import Any, NamedTuple, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from meepo2_cdc.errors import Error, UnreadableData
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.kafka.offsets import Extent, Partition
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder

BATCH = 1000
POLL_SECONDS = 0.5  # consume() does not hear signals while it waits
SILENCE_SECONDS = 60.0
BUFFERED_RECORDS = 100_000
_LEAST_PER_PARTITION = 100

_OURS: dict[str, Any] = {
    "group.id": "meepo2-cdc-no-group",  # librdkafka wants a name; without a subscription it never joins
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # a range that was removed meanwhile must not be passed over in silence
    "enable.partition.eof": True,
    "fetch.queue.backoff.ms": 10,  # 1000 by default: a full queue would then stand still for a second
    "fetch.wait.max.ms": 50,  # the end of a range is known only after this
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 32_768,
    "max.poll.interval.ms": 86_400_000,  # whoever reads our output may take a day
}


class Record(NamedTuple):
    """A change and where it was read."""

    action: TableAction
    topic: str
    partition: int
    offset: int


class _Lane:
    """
    What was read ahead of one partition; `next` is the offset that comes next.

    `failure` is told when all in front of it was given: behind a message that is no record nothing is read.
    """

    __slots__ = ("begin", "buffer", "done", "end", "failure", "next", "partition", "paused")

    def __init__(self, partition: Partition, extent: Extent) -> None:
        self.partition = partition
        self.begin, self.end = extent
        self.next = self.begin
        self.buffer: deque[Record] = deque()
        self.done = self.begin >= self.end
        self.paused = False
        self.failure: UnreadableData | None = None


_Heap: TypeAlias = list[tuple[int, int]]


class RangeReader:
    """
    Yields the records of each range, merged by `seq`; tombstones are passed over.

    Memory is bounded by `buffered_records` over all partitions (at least 100 each): a partition that is ahead
    is paused.  Raises UnreadableData for bytes that are no TableAction, behind all records that are in front of them in
    their partition; Error when a partition is silent for
    `silence_seconds` or its range was removed meanwhile.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        ranges: Mapping[Partition, Extent],
        decoder: ActionDecoder,
        *,
        buffered_records: int = BUFFERED_RECORDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._kafka = kafka
        self._decode = decoder.action
        self._lanes = [_Lane(partition, extent) for partition, extent in ranges.items()]
        self._by_partition = {(lane.partition.topic, lane.partition.number): lane for lane in self._lanes}
        self._most = max(_LEAST_PER_PARTITION, buffered_records // max(1, len(self._lanes)))
        self._silence_seconds = silence_seconds

    @property
    def passed(self) -> int:
        """How many offsets have been read, of all ranges together."""
        return sum((lane.end if lane.done else lane.next) - lane.begin for lane in self._lanes)

    def __iter__(self) -> Iterator[Record]:
        open_lanes = [lane for lane in self._lanes if not lane.done]
        if not open_lanes:
            return
        consumer = Consumer(quiet(self._kafka) | _OURS)
        try:
            consumer.assign([TopicPartition(*lane.partition, lane.begin) for lane in open_lanes])
            yield from self._merged(consumer)
        finally:
            consumer.close()

    def _merged(self, consumer: Consumer) -> Iterator[Record]:
        """The lowest seq is known once every partition that is not at its end shows its next record."""
        lanes = self._lanes
        heap: _Heap = []
        empty = list(range(len(lanes)))
        while empty or heap:
            for number in empty:
                self._fill(consumer, lanes[number])
                if lanes[number].buffer:
                    heappush(heap, (lanes[number].buffer[0].action.seq, number))
            empty = []
            while heap:
                number = heap[0][1]
                buffer = lanes[number].buffer
                yield buffer.popleft()
                if buffer:
                    heapreplace(heap, (buffer[0].action.seq, number))
                    continue
                heappop(heap)
                if not lanes[number].done or lanes[number].failure:
                    empty = [number]
                    break

    def _fill(self, consumer: Consumer, lane: _Lane) -> None:
        """Reads until the lane has a record or is at its end; raises what ends it too early."""
        silent_seconds = 0.0
        while not lane.buffer and not lane.done:
            self._pause_and_resume(consumer)
            # a batch with a timeout waits all of it for a full batch, which never comes at the end of a range
            messages = consumer.consume(BATCH, 0) or consumer.consume(1, POLL_SECONDS)
            self._sort_in(messages)
            silent_seconds = 0.0 if messages else silent_seconds + POLL_SECONDS
            if silent_seconds >= self._silence_seconds:
                raise Error(
                    f"Kafka sent nothing for {silent_seconds:.0f} s, "
                    f"and {lane.partition} is read up to {lane.next} only, not to its end {lane.end}"
                )
        if lane.failure is not None and not lane.buffer:
            raise lane.failure

    def _sort_in(self, messages: Iterable[Any]) -> None:  # the hints of Message say None of everything
        by_partition, decode = self._by_partition, self._decode
        for message in messages:
            topic, number, offset = message.topic(), message.partition(), message.offset()
            lane = by_partition[topic, number]
            if message.error() is not None:
                _heed(message.error(), lane, offset)
                continue
            if lane.done or offset >= lane.end:
                lane.done = True
                continue
            value = message.value()
            lane.next = offset + 1
            lane.done = lane.next == lane.end
            if value is None:
                continue  # a tombstone: it follows the delete that was a record
            try:
                lane.buffer.append(Record(decode(value), topic, number, offset))
            except UnreadableData as error:
                lane.failure, lane.done = _no_record(lane.partition, offset, error), True

    def _pause_and_resume(self, consumer: Consumer) -> None:
        pause, resume = [], []
        for lane in self._lanes:
            ahead = lane.done or len(lane.buffer) >= self._most
            if ahead and not lane.paused:
                pause.append(lane)
            elif lane.paused and not lane.done and len(lane.buffer) <= self._most // 2:
                resume.append(lane)
        for lane in pause + resume:
            lane.paused = not lane.paused
        consumer.pause([TopicPartition(*lane.partition) for lane in pause])
        consumer.resume([TopicPartition(*lane.partition) for lane in resume])


def _no_record(partition: Partition, offset: int, error: UnreadableData) -> UnreadableData:
    behind = f"meepo2-cdc replay --topic {partition.topic} --from-offset {partition.number}:{offset + 1}"
    return UnreadableData(
        f"{partition} offset {offset}: {error.found}", fix=error.fix or f"To go on behind it:  {behind}"
    )


def _heed(error: KafkaError, lane: _Lane, offset: int) -> None:
    """An event in the stream of messages: the end of a partition is expected, anything else is not."""
    if error.code() == KafkaError._PARTITION_EOF:
        # The last offsets may hold only markers and aborted records; then this is the one sign of the end.
        lane.done = lane.done or offset >= lane.end
    elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise Error(
            f"{lane.partition} was to be read from {lane.next} to {lane.end}, "
            "and the broker removed part of that meanwhile (retention)",
            fix="Start again from a later offset, or from earliest.",
        )
    elif not error.retriable():
        raise KafkaException(error)
