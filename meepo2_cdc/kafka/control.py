"""
The control topic: one partition, in which requests to a running capture lie in their order.

The requester makes it, so a capture that is never asked for anything has none.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from meepo2_cdc.errors import Error, KafkaUnavailable
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.kafka.topic_ids import topic_ids
from meepo2_cdc.kafka.topics import ensure_topic

log = structlog.get_logger()

TOPIC_CONFIG = {"cleanup.policy": "delete", "retention.ms": str(30 * 24 * 3600 * 1000)}
_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.5
_ANSWER_SECONDS = 10.0
_REFUSED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


class ControlTopic:
    """
    Requests as they come, read by a thread of its own: the one that captures waits for nobody.

    With `at_once`, `open` returns when all that is there now has come.
    """

    def __init__(self, kafka: Mapping[str, str], admin: AdminClient, topic: str, *, at_once: bool = False) -> None:
        self._kafka = dict(kafka)
        self._admin = admin
        self._topic = topic
        self._at_once = at_once
        self._come: deque[tuple[int, bytes]] = deque()
        self._closing = threading.Event()
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="control", daemon=True)
        self._offset: int | None = None

    def open(self, offset: int | None) -> None:
        """From here on; from its beginning where it is None, and where it was made anew since."""
        self._offset = offset
        self._thread.start()
        if self._at_once and not self._caught_up.wait(_ANSWER_SECONDS):
            raise KafkaUnavailable(f"Kafka does not give what is in {self._topic}", fix="See whether the brokers run.")

    def take(self) -> Sequence[tuple[int, bytes]]:
        """What has come since the last call: the offset behind each, and its value."""
        found = []
        while self._come:
            found.append(self._come.popleft())
        return found

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_ANSWER_SECONDS)

    def _follow(self) -> None:
        """Most captures are never asked for anything: a consumer is made when there is something to read."""
        if not self._wait_for_topic():
            return
        consumer = Consumer({
            **quiet(self._kafka),
            "group.id": "meepo2-cdc.none",  # required by the client; nothing is committed or joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        })  # fmt: skip
        try:
            self._read(consumer)
        except KafkaException as error:
            log.error("Requests are not heeded any more", topic=self._topic, why=error.args[0].str())
        finally:
            consumer.close()

    def _wait_for_topic(self) -> bool:
        """False when the capture ends before.  Describing a topic does not make it, as asking for its metadata may."""
        while not self._closing.is_set():
            try:
                if topic_ids(self._admin, [self._topic], _ANSWER_SECONDS):
                    return True
                self._caught_up.set()
            except KafkaException as error:
                if error.args[0].code() in _REFUSED:
                    self._not_allowed(error)
            except TimeoutError:
                pass  # brokers that are away come back
            self._closing.wait(_LOOK_SECONDS)
        return False

    def _not_allowed(self, error: KafkaException) -> None:
        if not self._caught_up.is_set():
            log.warning("Requests cannot be heeded", topic=self._topic, why=error.args[0].str())
        self._caught_up.set()

    def _read(self, consumer: Consumer) -> None:
        place = TopicPartition(self._topic, 0)
        start = self._offset
        if start is not None and start > consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)[1]:
            start = None  # the topic is not the one that it was
        consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING if start is None else start)])
        while not self._closing.is_set():
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._come.append(((message.offset() or 0) + 1, message.value() or b""))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._caught_up.set()
            elif error.fatal():
                raise KafkaException(error)


def send(kafka: Mapping[str, str], admin: AdminClient, topic: str, replication: int, request: bytes) -> int:
    """The request's offset, once the brokers have it."""
    ensure_topic(admin, topic, 1, replication, TOPIC_CONFIG)
    producer = Producer({**quiet(kafka), "acks": "all", "message.timeout.ms": int(_ANSWER_SECONDS * 1000)})
    told: list[tuple[KafkaError | None, int]] = []
    producer.produce(
        topic, request, partition=0, on_delivery=lambda error, message: told.append((error, message.offset() or 0))
    )
    producer.flush(2 * _ANSWER_SECONDS)
    error, offset = told[0] if told else (None, None)
    if offset is None or error is not None:
        why = "" if error is None else f": {error.str()}"
        raise Error(f"the request could not be written to {topic}{why}", fix="Nothing was asked.  Try again.")
    return offset
