"""
What the capture sees of Kafka: producer and consumer as librdkafka has them, topics as the capture service wants them.

Each step that leaves the process is an effect, before and after which anything can happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from zlib import crc32

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ClusterMetadata

from meepo2_cdc.capture.encoder import Topic
from meepo2_cdc.errors import PositionLost
from meepo2_cdc.records.avro import single_object_header
from tests.simulation import kafka
from tests.simulation.workload import PARTITIONS

if TYPE_CHECKING:
    from tests.simulation.capture import Process

CHECKPOINTS = "sim.checkpoints.db"
_CONSUMED = 25  # not all at once, so that a reading can be interrupted


def failed(code: int, *, retriable: bool = False) -> NoReturn:
    raise KafkaException(KafkaError(code, "simulated", False, retriable, False))


class SimProducer:
    """A transactional producer; once fenced it is good for nothing."""

    def __init__(self, process: Process, config: Mapping[str, Any]) -> None:
        self._process = process
        self._broker = process.world.broker
        self._transactional_id = config["transactional.id"]
        # the broker looks for transactions that took too long every ten seconds
        self._timeout_seconds = config["transaction.timeout.ms"] / 1000 + process.dice.uniform(0, 10)
        self._session: kafka.Session | None = None
        self._queue: list[tuple[str, int, tuple[bytes, bytes | None, int]]] = []
        self._fenced = False

    def init_transactions(self, timeout: float) -> None:
        self._process.effect("init")
        self._trouble("init")
        self._process.take_over()
        self._session = self._broker.init(self._transactional_id, self._process)
        self._process.effect("initiated")
        self._wait_for_markers(timeout)

    def _wait_for_markers(self, timeout: float) -> None:
        deadline = self._process.world.now + timeout
        while not self._broker.is_settled(self._transactional_id):
            self._process.effect("wait for markers", seconds=0.1)
            if self._process.world.now > deadline:
                failed(KafkaError._TIMED_OUT, retriable=True)

    def begin_transaction(self) -> None:
        self._refuse_if_fenced()
        self._flush_at = self._process.dice.choice((None, None, 1, 5))

    def poll(self, timeout: float) -> int:
        """There is nothing to hear."""
        return 0

    def list_topics(self, timeout: float) -> ClusterMetadata:
        self._process.effect("list topics")
        found = ClusterMetadata()
        found.topics = dict.fromkeys(self._broker.topics())
        return found

    def produce(
        self, topic: str, value: bytes | None = None, key: bytes = b"", partition: int = -1,
        on_delivery: None = None, callback: None = None, timestamp: int = 0,
    ) -> None:  # fmt: skip
        if partition < 0:
            partition = crc32(key) % self._broker.count(topic)
        self._queue.append((topic, partition, (key, value, timestamp)))
        if len(self._queue) == self._flush_at:
            self._flush()

    def _flush(self) -> None:
        """In two requests, so that a transaction may be there by half."""
        half = self._process.dice.randint(0, len(self._queue))
        for part in (self._queue[:half], self._queue[half:]):
            if part:
                self._process.effect("produce")
                self._refuse_if_fenced()
                self._wait_for_markers(60)
                self._send(part)
        self._queue.clear()

    def _send(self, part: list[tuple[str, int, tuple[bytes, bytes | None, int]]]) -> None:
        assert self._session is not None
        try:
            for topic, partition, record in part:
                self._broker.append(self._session, topic, partition, record, self._timeout_seconds)
        except kafka.Fenced:
            self._fence()

    def commit_transaction(self, timeout: float) -> None:
        """The request may get lost, be late, or be answered into the void."""
        self._refuse_if_fenced()
        self._flush()
        assert self._session is not None
        self._process.effect("commit")
        trouble = self._trouble("commit")
        if trouble == "late":
            self._broker.end_later(self._session, self._process.dice.choice((3, timeout + 0.01, timeout + 0.1, 30)))
        if trouble in ("lost", "late"):
            self._process.world.pass_time(timeout)
            failed(KafkaError._TIMED_OUT, retriable=True)
        try:
            self._broker.end(self._session, commit=True)
        except kafka.Fenced:
            self._fence()
        self._process.effect("committed")
        if trouble == "unanswered":
            self._process.world.pass_time(timeout)
            failed(KafkaError._TIMED_OUT, retriable=True)
        if trouble == "slow":
            self._process.world.pass_time(1.5)

    def abort_transaction(self, timeout: float) -> None:
        self._queue.clear()
        self._process.effect("abort")
        self._refuse_if_fenced()
        assert self._session is not None
        try:
            self._broker.end(self._session, commit=False)
        except kafka.Fenced:
            self._fence()

    def _trouble(self, step: str) -> str | None:
        trouble = self._process.take_trouble(step)
        if trouble == "fatal":
            failed(KafkaError._TRANSPORT)
        return trouble

    def _fence(self) -> NoReturn:
        self._fenced = True
        failed(KafkaError._FENCED)

    def _refuse_if_fenced(self) -> None:
        if self._fenced:
            failed(self._process.dice.choice((KafkaError._FENCED, KafkaError._FATAL)))


class _Message(NamedTuple):
    at: int
    entry: kafka.Entry | None

    def error(self) -> KafkaError | None:
        return None if self.entry else KafkaError(KafkaError._PARTITION_EOF)

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return self.entry and self.entry.key

    def value(self) -> bytes | None:
        return self.entry and self.entry.value


class SimConsumer:
    """Of one partition.  Under read_committed its end, also as a watermark, is the last stable offset."""

    def __init__(self, process: Process, config: Mapping[str, Any]) -> None:
        self._process = process
        self._committed = config.get("isolation.level", "read_committed") == "read_committed"

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        self._process.effect("watermarks")
        found = self._process.world.broker.partitions.get((partition.topic, partition.partition))
        if found is None:
            failed(KafkaError._UNKNOWN_PARTITION)
        return 0, self._end(found)

    def assign(self, partitions: list[TopicPartition]) -> None:
        (one,) = partitions
        self._partition = self._process.world.broker.partitions[one.topic, one.partition]
        self._at = max(0, one.offset)

    def consume(self, count: int, timeout: float) -> list[_Message]:
        self._process.effect("consume")
        end = self._end(self._partition)
        if self._at >= end:
            self._process.world.pass_time(timeout)
            return [_Message(self._at, None)]
        offsets = range(self._at, min(end, self._at + min(count, _CONSUMED)))
        self._at = offsets.stop
        read = [_Message(offset, self._partition.entries[offset]) for offset in offsets]
        return [one for one in read if self._is_visible(one.entry)]

    def _is_visible(self, entry: kafka.Entry | None) -> bool:
        if entry is None or entry.key is None:
            return False
        return not self._committed or entry.transaction.state == kafka.COMMITTED

    def _end(self, partition: kafka.Partition) -> int:
        return partition.stable if self._committed else partition.high

    def close(self) -> None:
        """Nothing is held."""


class SimTopics:
    """The `Topics` of the capture service."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._broker = process.world.broker
        self._named: set[str] = set()

    def ensure_checkpoint_topic(self) -> None:
        self._process.effect("checkpoint topic")
        self._broker.create(CHECKPOINTS, 1)

    def refuse_existing_records(self) -> None:
        self._process.effect("look for records")
        for (topic, number), partition in self._broker.partitions.items():
            if topic != CHECKPOINTS and partition.committed():
                raise PositionLost(f"{topic}[{number}] holds records, and there is no checkpoint")

    def name(self, schema: str, table: str) -> Topic:
        name = f"sim.{schema}.{table}"
        self._named.add(name)
        return Topic(name, PARTITIONS, single_object_header("table_key"), single_object_header("table_action"))

    def create(self) -> None:
        for name in sorted(self._named):
            self._process.effect("create topic")
            self._broker.create(name, PARTITIONS)
        self._named.clear()

    def open(self, schema: str, table: str) -> Topic:
        self._process.effect("create topic")
        name = f"sim.{schema}.{table}"
        count = self._broker.create(name, PARTITIONS)
        return Topic(name, count, single_object_header("table_key"), single_object_header("table_action"))
