"""
Topics and records for tests, in a real Kafka.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.records import Action, Source, TableAction
from meepo2_cdc.records.avro import encode_action, encode_key

COMMITTED_AT = datetime(2026, 7, 1, 12, 0, 0, 250, tzinfo=UTC)


def record(seq: int, **changes: Any) -> TableAction:
    """A write of shop.orders, its key and its time (a millisecond for each seq) from the seq."""
    fields: dict[str, Any] = {
        "action": Action.WRITE,
        "schema": "shop",
        "table": "orders",
        "pk": (seq,),
        "committed_at": COMMITTED_AT + timedelta(milliseconds=seq % 1_000_000_000),
        "snapshot": False,
        "seq": seq,
        "source": Source("db", None, "binlog.000001", 4 + seq, 0),
    }
    return TableAction(**(fields | changes))


class Topics:
    """Makes topics and puts records into chosen partitions, in transactions that end as the test wants."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address})
        # under read_committed, librdkafka's high watermark is the last stable offset
        uncommitted = {"isolation.level": "read_uncommitted", "group.id": "test-none"}
        self._consumer = Consumer({"bootstrap.servers": address, **uncommitted})

    def create(self, topic: str, partitions: int = 1, **config: str) -> str:
        kept = {"retention.ms": "-1"}  # the records are of a past day, which the broker would remove at its next look
        given = {name.replace("_", "."): value for name, value in config.items()}
        made = NewTopic(topic, partitions, 1, config=kept | given)
        self.admin.create_topics([made])[topic].result(30)
        # the answer may come before every broker's metadata has it
        while topic not in self.admin.list_topics(timeout=30).topics:
            pass
        return topic

    @contextmanager
    def transaction(self, topic: str, *, abort: bool = False) -> Iterator[Producer]:
        """One Kafka transaction into a topic, by a producer of its own."""
        with self.producer() as producer:
            producer.begin_transaction()
            yield producer
            if abort:
                producer.flush(30)  # otherwise nothing reaches the log, and there is nothing to abort
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
        self.settle(topic)

    def settle(self, topic: str, seconds: float = 30) -> None:
        """
        Returns when no transaction is open in the topic.

        A commit returns when the coordinator has it; its markers reach the partitions some milliseconds later.
        """
        partitions = [Partition(topic, n) for n in self.admin.list_topics(topic).topics[topic].partitions]
        deadline = time.monotonic() + seconds
        while any(self._open(one, extent.end) for one, extent in extents(self.admin, partitions).items()):
            assert time.monotonic() < deadline, f"a transaction in {topic} stays open"

    def _open(self, one: Partition, stable: int) -> bool:
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*one), timeout=30)
        return bool(stable < high)

    @contextmanager
    def producer(self) -> Iterator[Producer]:
        made = Producer(
            {
                "bootstrap.servers": self.address,
                "transactional.id": f"test-{uuid.uuid4().hex}",
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        made.init_transactions(30)
        yield made

    def put(
        self,
        topic: str,
        records: Iterable[tuple[int, TableAction]],
        *,
        abort: bool = False,
        header: bytes | None = None,
    ) -> None:
        """Each record into the partition beside it, in one transaction."""
        with self.transaction(topic, abort=abort) as producer:
            for partition, one in records:
                produce(producer, topic, partition, one, header)

    def remove_before(self, topic: str, partition: int, offset: int) -> None:
        """What retention does."""
        asked = [TopicPartition(topic, partition, offset)]
        for answer in self.admin.delete_records(asked).values():
            answer.result(30)


def produce(producer: Producer, topic: str, partition: int, one: TableAction, header: bytes | None = None) -> None:
    producer.produce(
        topic,
        encode_action(one, header),
        encode_key(one.schema, one.table, one.pk),
        partition,
        timestamp=int(one.committed_at.timestamp() * 1000),
    )


def resident_bytes() -> int:
    """The peak of this process so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
