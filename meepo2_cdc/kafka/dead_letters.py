"""
Dead letters: records that a connector could not apply, kept with their original bytes and the reason.

One topic for each connector, one partition, never compacted.  The headers are those of Kafka Connect's dead-letter
queue (org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter), so that its tools read them, and our own:

    meepo2_cdc.tries        how often it was tried
    meepo2_cdc.failed_at    when it was given up, ISO 8601 in UTC
    meepo2_cdc.settles      in a mark, which has no value: the offset of the letter that was replayed or dropped
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from meepo2_cdc.errors import Error, UnreadableData
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.kafka.ranges import messages_in
from meepo2_cdc.kafka.topics import ensure_topic, partition_counts

CONNECT = "__connect.errors."
OURS = "meepo2_cdc."
_SETTLES = OURS + "settles"
_FLUSH_SECONDS = 60.0
_WHY_CHARACTERS = 4000
"""A target may answer with pages; a message has a limit, and the record itself must fit in."""
_KEPT = {"cleanup.policy": "delete", "retention.ms": "-1"}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was set aside; `offset` is its own, by which it is named."""

    offset: int
    message: Message
    headers: Mapping[str, str]

    @property
    def origin(self) -> str:
        """Where the record was read: `topic[partition]@offset`."""
        topic, partition, offset = (self.headers.get(CONNECT + part, "?") for part in ("topic", "partition", "offset"))
        return f"{topic}[{partition}]@{offset}"

    @property
    def why(self) -> str:
        return self.headers.get(CONNECT + "exception.message", "")

    @property
    def tries(self) -> str:
        return self.headers.get(OURS + "tries", "?")

    @property
    def failed_at(self) -> str:
        return self.headers.get(OURS + "failed_at", "?")


class DeadLetters:
    """The dead letters of one connector; may be written from several threads."""

    def __init__(self, kafka: Mapping[str, str], topic: str, connector: str, replication: int = -1) -> None:
        self._kafka = kafka
        self.topic = topic
        self._connector = connector
        self._replication = replication
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def put(self, message: Message, why: str, error: BaseException, tries: int) -> None:
        """Writes the message's bytes with the reason; raises Error when Kafka did not take it."""
        headers: dict[str, bytes] = dict(message.headers() or [])
        again = message.topic() == self.topic  # a letter that failed once more keeps where it came from
        origin = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
        facts = {
            **({} if again else {CONNECT + name: value for name, value in origin.items()}),
            CONNECT + "connector.name": self._connector,
            CONNECT + "task.id": 0,
            CONNECT + "stage": "VALUE_CONVERTER" if isinstance(error, UnreadableData) else "TASK_PUT",
            CONNECT + "class.name": self._connector,
            CONNECT + "exception.class.name": f"{type(error).__module__}.{type(error).__qualname__}",
            CONNECT + "exception.message": why if len(why) <= _WHY_CHARACTERS else f"{why[:_WHY_CHARACTERS]}...",
            OURS + "tries": tries,
            OURS + "failed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        told = {name: str(fact).encode() for name, fact in facts.items()}
        self._write([(message.key(), message.value(), headers | told)])

    def settle(self, letters: Iterable[DeadLetter]) -> None:
        """Marks them as dealt with; they are not listed any more."""
        marks = [(one.message.key(), None, {_SETTLES: str(one.offset).encode()}) for one in letters]
        self._write(marks)

    def waiting(self) -> list[DeadLetter]:
        """Those that nobody has dealt with, oldest first."""
        admin = AdminClient(quiet(self._kafka))
        if self.topic not in partition_counts(admin, [self.topic]):
            return []
        found: dict[int, DeadLetter] = {}
        for message in messages_in(self._kafka, extents(admin, [Partition(self.topic, 0)])):
            headers = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or []}
            if _SETTLES in headers:
                found.pop(int(headers[_SETTLES]), None)
            else:
                found[message.offset()] = DeadLetter(message.offset(), message, headers)
        return list(found.values())

    def _write(self, letters: Iterable[tuple[bytes | None, bytes | None, Mapping[str, bytes]]]) -> None:
        refused: list[KafkaError] = []
        with self._lock:
            producer = self._open()
            for key, value, headers in letters:
                try:
                    _produce(producer, self.topic, key, value, headers, refused)
                except KafkaException as error:
                    refused.append(error.args[0])
            left = producer.flush(_FLUSH_SECONDS)
        if refused or left:
            why = refused[0].str() if refused else f"no answer in {_FLUSH_SECONDS:.0f} s"
            raise Error(
                f"a dead letter could not be written to {self.topic}: {why}",
                fix="Nothing was skipped: the record is read again at the next start.",
            )

    def _open(self) -> Producer:
        """At the first letter, as most connectors never have one."""
        if self._producer is None:
            ensure_topic(AdminClient(quiet(self._kafka)), self.topic, 1, self._replication, _KEPT)
            self._producer = Producer(quiet(self._kafka) | {"enable.idempotence": True, "linger.ms": 5})
        return self._producer


def _produce(
    producer: Producer, topic: str, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes],
    refused: list[KafkaError],
) -> None:  # fmt: skip
    """Waits while the producer's queue is full."""
    while True:
        try:
            producer.produce(
                topic, value, key, partition=0, headers=list(headers.items()),
                on_delivery=lambda error, _: refused.append(error) if error is not None else None,
            )  # fmt: skip
            return
        except BufferError:
            producer.poll(1.0)
