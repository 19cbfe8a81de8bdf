"""
A runner's surroundings in memory: messages, the feed that gives them, and where records are set aside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError

from meepo2_cdc.kafka.message import Message
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import encode_action, encode_key
from meepo2_cdc.replay.feeds import ListFeed


@dataclass(frozen=True, slots=True)
class InMemoryMessage:
    """A message that no broker has seen."""

    value_bytes: bytes | None
    key_bytes: bytes | None = None
    at_topic: str = "meepo2.shop.user"
    at_partition: int = 0
    at_offset: int = 0
    with_headers: list[tuple[str, bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, record: TableAction, offset: int, partition: int = 0) -> InMemoryMessage:
        topic = f"meepo2.{record.schema}.{record.table}"
        key = encode_key(record.schema, record.table, record.pk)
        return cls(encode_action(record), key, topic, partition, offset)

    def topic(self) -> str:
        return self.at_topic

    def partition(self) -> int:
        return self.at_partition

    def offset(self) -> int:
        return self.at_offset

    def key(self) -> bytes | None:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.value_bytes

    def headers(self) -> Any:
        return self.with_headers

    def error(self) -> KafkaError | None:
        return None


class InMemoryFeed(ListFeed):
    """Gives records, as if from one partition of each topic, then ends; `committed` tells what was committed."""

    def __init__(self, records: Iterable[TableAction]) -> None:
        super().__init__(InMemoryMessage.of(record, offset) for offset, record in enumerate(records))


class SetAsideRecords:
    """Keeps what was set aside: the message, why, and how often it was tried."""

    def __init__(self) -> None:
        self.letters: list[tuple[Message, str, int]] = []

    def put(self, message: Message, why: str, error: BaseException, tries: int) -> None:
        self.letters.append((message, why, tries))
