"""
The topics that peers write to: made, watched as a reader of committed records sees them, and read to the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, IsolationLevel, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from meepo2_cdc.records.avro import Decoder

SECONDS = 30
AVRO_SINGLE_OBJECT = b"\xc3\x01"
_READ_AT_ONCE = 10_000
_READ_SECONDS = 0.2
_MAXWELL_KEY = "pk."


class Cluster:
    """A Kafka, as its administrator."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._admin = AdminClient({"bootstrap.servers": address})

    def create(self, topic: str, partitions: int) -> None:
        self._admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(SECONDS)

    def named(self, prefix: str) -> list[str]:
        return [name for name in self._admin.list_topics(timeout=SECONDS).topics if name.startswith(prefix)]

    def delete(self, prefix: str) -> None:
        """Everything of one run."""
        for done in self._admin.delete_topics(names).values() if (names := self.named(prefix)) else ():
            done.result(SECONDS)

    def committed(self, topic: str, partitions: int) -> int:
        """How many offsets a reader of committed records can see: its records, and the ends of transactions."""
        asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(partitions)}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=SECONDS
        )
        return sum(answer.result().offset for answer in answers.values())

    def messages(self, topic: str, partitions: int) -> Iterator[Message]:
        """All committed records, partition after partition as they come."""
        with closing(_consumer(self.address)) as consumer:
            consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
            ends = 0
            while ends < partitions:
                for message in consumer.consume(_READ_AT_ONCE, timeout=_READ_SECONDS):
                    if message.error() is not None:
                        ends += 1
                    else:
                        yield message


def _consumer(address: str) -> Consumer:
    return Consumer({
        "bootstrap.servers": address,
        "group.id": "bench-check",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "fetch.queue.backoff.ms": 10,
        "fetch.wait.max.ms": 20,
    })  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """What a topic holds, beside what it should: records, and how many keys are missing or were never written."""

    records: int
    missing: int
    unexpected: int
    bytes_a_record: float

    @property
    def complete(self) -> bool:
        return not self.missing and not self.unexpected


def compared(messages: Iterable[Message], expected: set[str]) -> Found:
    """Every record's key, by its parts as text, against the keys that the source wrote."""
    key_text = KeyText()
    records = size = 0
    found: set[str] = set()
    for message in messages:
        value, key = message.value(), message.key()
        if value is None or key is None:
            continue
        records += 1
        size += len(value) + len(key)
        found.add(key_text.of(key))
    return Found(records, len(expected - found), len(found - expected), size / max(1, records))


class KeyText:
    """Keys of any peer as the same text: their parts with | between."""

    def __init__(self) -> None:
        self._avro = Decoder("table_key")

    def of(self, raw: bytes) -> str:
        ours = raw.startswith(AVRO_SINGLE_OBJECT)
        parts = self._avro.decode(raw)["pk"] if ours else _json_parts(json.loads(raw))
        return "|".join(map(str, parts))


def _json_parts(key: Any) -> Iterable[Any]:
    if isinstance(key, dict):
        if "payload" in key and "schema" in key:  # Kafka Connect's own envelope
            return _json_parts(key["payload"])
        named = [value for name, value in key.items() if name.startswith(_MAXWELL_KEY)]
        return named or key.values()
    return key if isinstance(key, list) else (key,)
