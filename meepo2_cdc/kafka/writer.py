"""
Records and checkpoint in one Kafka transaction.

Whatever is unexpected raises, and the process ends: restart is the one way to recover, so that it is the best tested.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from meepo2_cdc.errors import ConfigError, Error, Fenced
from meepo2_cdc.kafka.checkpoints import read_checkpoint
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.observe import metrics
from meepo2_cdc.records.checkpoint import Checkpoint

log = structlog.get_logger()

TRANSACTION_TIMEOUT_MS = 10_000
_INIT_SECONDS = 60
_COMMIT_SECONDS = 10
_COMMIT_DEADLINE_SECONDS = 60
_ABORT_SECONDS = 5
_REFRESH_SECONDS = 10
_SLOW_COMMIT_SECONDS = 1.0

_FENCED = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)
_DENIED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)

ANY_PARTITION = -1
"""The partitioner chooses by the key."""

Message = tuple[bytes | None, bytes, int, int]
"""Value (None is a tombstone), key, partition, timestamp in milliseconds."""


class TransactionalWriter:
    """
    Writes batches, each in one transaction with its checkpoint.

    `open` fences every earlier writer with the same id; only then is the checkpoint read.  Not safe to call from two
    threads at once.
    """

    def __init__(self, kafka: Mapping[str, str], transactional_id: str, checkpoint_topic: str, source: str) -> None:
        self._kafka = dict(kafka)
        self._transactional_id = transactional_id
        self._checkpoint_topic = checkpoint_topic
        self._source = source
        self._producer: Producer | None = None
        self._last: Checkpoint | None = None

    def open(self) -> Checkpoint | None:
        """Ends the predecessor's transaction, fences it, and reads the last checkpoint: in this order."""
        self._producer = self._new_producer()
        self._last = read_checkpoint(self._kafka, self._checkpoint_topic, self._source)
        return self._last

    def write(self, messages: Mapping[str, list[Message]], checkpoint: Checkpoint) -> None:
        """
        1. begin; 2. the records; 3. the checkpoint, last; 4. commit, repeated while Kafka says that it may be.

        Raises Fenced when another writer has the id, ConfigError for rights that lack, KafkaException or Error else.
        """
        producer = self._producer
        if producer is None:
            raise RuntimeError("a writer is opened before it writes")
        producer.poll(0)  # takes what librdkafka has to log
        try:
            producer.begin_transaction()
            for topic, batch in messages.items():
                self._produce(producer, topic, batch)
            value = checkpoint.encoded()
            producer.produce(self._checkpoint_topic, value=value, key=self._source.encode(), partition=0)
            slow = self._commit(producer)
        except KafkaException as error:
            meaning = _meaning(error, self._transactional_id, _end(producer))
            gone = [] if isinstance(meaning, Error) else _gone(producer, [*messages, self._checkpoint_topic])
            raise (_deleted(gone) if gone else meaning) from error
        self._last = checkpoint
        metrics.COMMITS.inc()
        if slow:
            self._replace_producer()

    def close(self) -> None:
        """Lets the producer go; a transaction that is open is ended by the successor."""
        self._producer = None

    def _new_producer(self) -> Producer:
        producer = Producer({
            "compression.type": "lz4",
            "linger.ms": 5,
            "batch.size": 1 << 20,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 256 << 10,
            **quiet(self._kafka),
            "transactional.id": self._transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "partitioner": "murmur2_random",
        })  # fmt: skip
        try:
            producer.init_transactions(_INIT_SECONDS)
        except KafkaException as error:
            raise _meaning(error, self._transactional_id) from error
        return producer

    @staticmethod
    def _produce(producer: Producer, topic: str, batch: list[Message]) -> None:
        """One by one: `produce_batch` takes no timestamps, and was measured no faster."""
        produce, refreshed = producer.produce, False
        for value, key, partition, timestamp in batch:
            while True:
                try:
                    produce(topic, value, key, partition, None, None, timestamp)
                    break
                except BufferError:  # more than queue.buffering.max.messages
                    producer.poll(0.1)
                except KafkaException as error:
                    if refreshed or error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
                        raise
                    producer.list_topics(topic, timeout=_REFRESH_SECONDS)  # it was added a moment ago
                    refreshed = True

    def _commit(self, producer: Producer) -> bool:
        """True when it was slow or had to be repeated."""
        start = time.monotonic()
        while True:
            try:
                producer.commit_transaction(_COMMIT_SECONDS)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() - start > _COMMIT_DEADLINE_SECONDS:
                    raise
                log.warning("A commit is repeated", why=error.args[0].str())
                continue
            return time.monotonic() - start > _SLOW_COMMIT_SECONDS

    def _replace_producer(self) -> None:
        """
        After a slow or repeated commit a delayed request may still be under way, which could end a later transaction
        of the same epoch.  A new epoch shuts it out; librdkafka gives one to a new producer only.
        """
        self._producer = self._new_producer()
        metrics.PRODUCERS_REPLACED.inc()
        log.warning("The producer was replaced after a slow commit")
        found = read_checkpoint(self._kafka, self._checkpoint_topic, self._source)
        if found != self._last:
            raise Fenced(f"another instance of {self._transactional_id} committed a checkpoint meanwhile")


def _end(producer: Producer) -> KafkaException | None:
    """
    Ends the transaction, so that readers need not wait for its timeout; what was said to that.

    The first call that fails after fencing may say _FATAL, _STATE or UNKNOWN; the abort behind it says _FENCED.
    """
    try:
        producer.abort_transaction(_ABORT_SECONDS)
    except KafkaException as error:
        return error
    return None


def _gone(producer: Producer, topics: list[str]) -> list[str]:
    """Those that do not exist; none when nobody answers.  librdkafka only says that their messages timed out."""
    try:
        there = producer.list_topics(timeout=_ABORT_SECONDS).topics
    except KafkaException:
        return []
    return [topic for topic in topics if topic not in there]


def _deleted(topics: list[str]) -> Error:
    return Error(
        f"{', '.join(topics)} was deleted while it was written to",
        fix="Nothing of the batch at hand was committed.  The next start makes data topics anew and goes on with this\n"
        "batch; what the topic held before is lost.",
    )


def _meaning(error: KafkaException, transactional_id: str, of_abort: KafkaException | None = None) -> Exception:
    if any(one is not None and one.args[0].code() in _FENCED for one in (error, of_abort)):
        return Fenced(
            f"another instance took over the transactional id {transactional_id}, or this one was paused for longer"
            f" than {TRANSACTION_TIMEOUT_MS // 1000} s",
            fix="Run one capture for each source; the one that was started last goes on.",
        )
    if error.args[0].code() in _DENIED:
        return ConfigError(
            f"Kafka refuses the capture: {error.args[0].str()}",
            fix="With ACLs it needs Write, Describe and Create on <prefix>.*, Read on <prefix>.checkpoints.*, and\n"
            f"Write and Describe on the transactional id {transactional_id}.",
        )
    return error
