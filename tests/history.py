"""
What a cluster's topics hold, read with a plain consumer of committed records.

Not the project's own reader: a fault in that must not hide a fault in what was written.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.records import Action, KeyPart, TableAction
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.records.row_avro import ChangeDecoder
from tests.command import until

Change = tuple[str, tuple[KeyPart, ...]]
"""An action's name and a primary key."""


class Read(NamedTuple):
    """A record as it lies in its topic; `action` is None for a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes | None
    action: TableAction | None


def consumer(kafka: str, **options: Any) -> Consumer:
    """A consumer that is quick to see what is there; of a group of its own unless one is named."""
    return Consumer({
        "bootstrap.servers": kafka,
        "group.id": f"test-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6000,
        "fetch.wait.max.ms": 10,
        "fetch.queue.backoff.ms": 10,
        "log_level": 2,
        **options,
    })  # fmt: skip


def data_topics(kafka: str, prefix: str) -> list[str]:
    """The topics under a prefix that hold changes, those of rows not among them."""
    asking = consumer(kafka)
    try:
        names = asking.list_topics(timeout=30).topics
    finally:
        asking.close()
    others = tuple(f"{prefix}.{word}." for word in ("checkpoints", "control", "rows"))
    return sorted(name for name in names if name.startswith(f"{prefix}.") and not name.startswith(others))


def committed(
    kafka: str, topics: Iterable[str], schema_of_id: Callable[[int], dict[str, Any]] | None = None
) -> list[Read]:
    """Everything that is committed now, partition by partition in the order of offsets."""
    reading = consumer(kafka, **{"enable.partition.eof": True, "isolation.level": "read_committed"})
    decoder = ChangeDecoder(schema_of_id)
    try:
        there = reading.list_topics(timeout=30).topics
        open_ends = {(topic, number) for topic in topics for number in there[topic].partitions}
        # a commit returns before its markers reach the partitions; this waits for them
        extents(AdminClient({"bootstrap.servers": kafka}), [Partition(*one) for one in open_ends])
        reading.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in open_ends])
        found: list[Read] = []

        def at_the_ends() -> bool:
            for message in reading.consume(10_000, timeout=0.1) if open_ends else ():
                if message.error() is None:
                    found.append(_read(message, decoder))
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    open_ends.discard((message.topic(), message.partition()))
            return not open_ends

        until(at_the_ends, "the ends of all partitions")
    finally:
        reading.close()
    return sorted(found, key=lambda one: one[:3])


def _read(message: Any, decoder: ActionDecoder) -> Read:
    value = message.value()
    where = message.topic(), message.partition(), message.offset(), message.timestamp()[1]
    return Read(*where, message.key(), value, None if value is None else decoder.action(value))


def actions(reads: Iterable[Read]) -> list[TableAction]:
    """Without tombstones, in the order of seq."""
    return sorted((one.action for one in reads if one.action is not None), key=lambda action: action.seq)


def changes(reads: Iterable[Read], table: str | None = None) -> list[Change]:
    """Action and key in the order of seq, of one table or of all."""
    return [
        (action.action.value, action.pk)
        for action in actions(reads)
        if table is None or table in (action.table, action.qualified_table)
    ]


def by_key(ordered: Iterable[Change]) -> dict[tuple[KeyPart, ...], list[str]]:
    """What happened to each key, in order."""
    found: dict[tuple[KeyPart, ...], list[str]] = defaultdict(list)
    for action, pk in ordered:
        found[pk].append(action)
    return dict(found)


def folded(ordered: Iterable[Change]) -> set[tuple[KeyPart, ...]]:
    """The keys a replica holds at the end."""
    rows: set[tuple[KeyPart, ...]] = set()
    for action, pk in ordered:
        if action == Action.TRUNCATE.value:
            rows.clear()
        elif action == Action.DELETE.value:
            rows.discard(pk)
        else:
            rows.add(pk)
    return rows
