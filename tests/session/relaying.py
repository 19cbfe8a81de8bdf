"""
The relay as a command, and what consumers have of it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder
from tests.command import Outcome, Running, run
from tests.session.databases import Database, Told


def settings_of(database: Database, kafka: str, prefix: str) -> dict[str, str]:
    return {
        "MEEPO2_SESSION_DSN": database.dsn,
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "MEEPO2_PREFIX": prefix,
        "MEEPO2_SESSION_POLL_MS": "10",
    }


class Relayed:
    """One prefix: its relays, and its committed records."""

    def __init__(self, database: Database, kafka: str, prefix: str) -> None:
        self.database, self.kafka, self.prefix = database, kafka, prefix
        self.settings = settings_of(database, kafka, prefix)
        self._running: list[Running] = []

    def once(self, *flags: str) -> Outcome:
        return run("relay", "--once", *flags, settings=self.settings)

    def start(self, *flags: str, wait: bool = True) -> Running:
        made = Running(["relay", *flags], self.settings)
        self._running.append(made)
        if wait:
            made.wait_for("Relay started")
        return made

    def close(self) -> None:
        for one in self._running:
            one.kill()

    def records(self) -> list[TableAction]:
        return sorted(committed(self.kafka, self.prefix), key=lambda record: record.seq)


def committed(kafka: str, prefix: str) -> Iterator[TableAction]:
    """All committed records of a prefix, in no order between partitions."""
    admin = AdminClient({"bootstrap.servers": kafka})
    topics = admin.list_topics(timeout=30).topics
    partitions = [
        TopicPartition(name, number, 0)
        for name, topic in topics.items()
        if name.startswith(f"{prefix}.") and not name.startswith((f"{prefix}.checkpoints.", f"{prefix}.lock."))
        for number in topic.partitions
    ]
    consumer = Consumer({
        "bootstrap.servers": kafka, "group.id": "none", "isolation.level": "read_committed",
        "enable.auto.commit": False, "enable.partition.eof": True, "fetch.wait.max.ms": 10,
    })  # fmt: skip
    decoder, open_ones = ActionDecoder(), {(one.topic, one.partition) for one in partitions}
    deadline = time.monotonic() + 60
    try:
        if partitions:
            consumer.assign(partitions)
        while open_ones:
            assert time.monotonic() < deadline, f"no end of {open_ones}"
            for message in consumer.consume(1000, 0.2):
                if message.error() is not None:
                    open_ones.discard((message.topic(), message.partition()))
                elif message.value() is not None:
                    yield decoder.action(message.value())
    finally:
        consumer.close()


def plain(records: Sequence[TableAction]) -> list[Told]:
    return [(one.action.value, one.table, *one.pk) for one in records]


def without_gap(records: Sequence[TableAction]) -> bool:
    """seq, the proof that nothing is lost or twice."""
    numbers = [one.seq for one in records]
    return not numbers or numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def by_key(told: Sequence[Told]) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = defaultdict(list)
    for action, *key in told:
        found[tuple(key)].append(action)
    return dict(found)


@contextmanager
def relayed(database: Database, kafka: str, prefix: str) -> Iterator[Relayed]:
    made = Relayed(database, kafka, prefix)
    try:
        yield made
    finally:
        made.close()
