"""
Records and checkpoint in one Kafka transaction.

Whatever is unexpected raises, and the process ends: restart is the one way to recover, so that it is the best tested.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from meepo2_cdc.errors import ConfigError, Error, Fenced, KafkaUnavailable
from meepo2_cdc.kafka.checkpoints import read_checkpoint
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.observe import metrics

log = structlog.get_logger()

TRANSACTION_TIMEOUT_MS = 10_000
_INIT_SECONDS = 60
_COMMIT_SECONDS = 10
_COMMIT_DEADLINE_SECONDS = 60
_COMMIT_PAUSE_SECONDS = 0.2
_ABORT_SECONDS = 5
_REFRESH_SECONDS = 10
_SLOW_COMMIT_SECONDS = 1.0

_FENCED = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)
_DENIED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
_AWAY = (
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)

_LOOK = "See whether the brokers run, and whether they are slow: a batch has 10 s (transaction.timeout.ms)."
_GOES_ON = "Start the capture again: the batch at hand is committed whole or not at all, and it goes on exactly there."

ANY_PARTITION = -1
"""The partitioner chooses by the key."""

Message = tuple[bytes | None, bytes, int, int]
"""Value (None is a tombstone), key, partition, timestamp in milliseconds."""


class _Checkpoint(Protocol):
    """What is written behind the records of each transaction: a capture's checkpoint, or a relay's."""

    def encoded(self) -> bytes: ...


class TransactionalWriter:
    """
    Writes batches, each in one transaction with its checkpoint.

    `open` fences every earlier writer with the same id; only then is the checkpoint read.  `end_lost` is given each new
    producer before it writes, to end what a broker left open.  Not safe to call from two threads at once.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        transactional_id: str,
        checkpoint_topic: str,
        source: str,
        end_lost: Callable[[Producer], None] = lambda producer: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kafka = dict(kafka)
        self._transactional_id = transactional_id
        self._checkpoint_topic = checkpoint_topic
        self._source = source
        self._end_lost = end_lost
        self._sleep = sleep
        self._producer: Producer | None = None
        self._last: Any = None

    def open(self) -> Any:
        """Ends the predecessor's transaction, fences it, and reads the last checkpoint: in this order."""
        self._producer = self._new_producer()
        self._last = self._read_checkpoint()
        return self._last

    def refuse_successor(self) -> None:
        """Raises Fenced when another writer has committed a checkpoint behind this one's last."""
        if self._read_checkpoint() != self._last:
            raise Fenced(
                f"another instance of {self._transactional_id} committed a checkpoint meanwhile",
                fix="Run one capture for each source; the one that was started last goes on.",
            )

    def write(self, messages: Mapping[str, list[Message]], checkpoint: _Checkpoint) -> None:
        """
        1. begin; 2. the records; 3. the checkpoint, last; 4. commit, repeated while Kafka says that it may be.

        Raises Fenced when another writer has the id, ConfigError for rights that lack, KafkaUnavailable when it took
        too long, KafkaException or Error else.
        """
        producer = self._producer
        if producer is None:
            raise RuntimeError("a writer is opened before it writes")
        began = time.monotonic()
        try:
            producer.poll(0)  # takes what librdkafka has to log
            producer.begin_transaction()
            for topic, batch in messages.items():
                self._produce(producer, topic, batch)
            value = checkpoint.encoded()
            producer.produce(self._checkpoint_topic, value=value, key=self._source.encode(), partition=0)
            slow = self._commit(producer)
        except KafkaException as error:
            topics = [*messages, self._checkpoint_topic]
            raise self._failure(error, producer, topics, checkpoint, began) from error
        self._last = checkpoint
        metrics.COMMITS.inc()
        metrics.COMMIT_SECONDS.observe(time.monotonic() - began)
        if slow:
            self._replace_producer()

    def close(self) -> None:
        """Lets the producer go; a transaction that is open is ended by the successor."""
        self._producer = None

    def _new_producer(self) -> Producer:
        producer = Producer({
            "compression.type": "lz4",
            "linger.ms": 5,
            "delivery.report.only.error": True,  # what is delivered, the commit tells
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
            self._end_lost(producer)
        except KafkaException as error:
            raise _meaning(error, self._transactional_id) from error
        return producer

    def _read(self) -> Any:
        """The last checkpoint; a relay has another kind."""
        return read_checkpoint(self._kafka, self._checkpoint_topic, self._source)

    def _read_checkpoint(self) -> Any:
        try:
            return self._read()
        except KafkaException as error:
            raise _meaning(error, self._transactional_id) from error

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
                self._sleep(_COMMIT_PAUSE_SECONDS)  # some errors come at once, again and again
                continue
            return time.monotonic() - start > _SLOW_COMMIT_SECONDS

    def _replace_producer(self) -> None:
        """
        After a slow or repeated commit a delayed request may still be under way, which could end a later transaction
        of the same epoch.  A new epoch shuts it out; librdkafka gives one to a new producer only.

        A successor is looked for before it, too: one that was frozen in its commit must not fence it in waking up.
        """
        self.refuse_successor()
        self._producer = self._new_producer()
        metrics.PRODUCERS_REPLACED.inc()
        log.warning("The producer was replaced after a slow commit")
        self.refuse_successor()

    def _failure(
        self, error: KafkaException, producer: Producer, topics: list[str], made: _Checkpoint, began: float
    ) -> Exception:
        """What it means that a transaction could not be committed, which began at `began`."""
        lasted = time.monotonic() - began
        of_abort = _end(producer)
        if any(one is not None and one.args[0].code() in _FENCED for one in (error, of_abort)):
            return self._shut_out(time.monotonic() - began, made)
        meaning = _meaning(error, self._transactional_id, lasted)
        silent = of_abort is not None and of_abort.args[0].code() in _AWAY
        gone = [] if silent or isinstance(meaning, ConfigError) else _gone(producer, topics)
        return _deleted(gone) if gone else meaning

    def _shut_out(self, lasted: float, made: _Checkpoint) -> Error:
        """
        By a successor, or by the broker, which ends a transaction that is open for too long and says the same then.

        A successor begins with the batch that was open here, so that a checkpoint of its own tells of it.
        """
        if lasted * 1000 < TRANSACTION_TIMEOUT_MS:
            return _fenced(self._transactional_id)
        try:
            found = self._read_checkpoint()
        except (Error, KafkaException):  # nobody tells
            found = self._last
        return _ended_by_the_broker(lasted) if found in (self._last, made) else _fenced(self._transactional_id)


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


def _meaning(error: KafkaException, transactional_id: str, lasted: float | None = None) -> Exception:
    """As one of our errors, where it is a known one; `lasted` are the seconds that a transaction was tried for."""
    code, why = error.args[0].code(), error.args[0].str()
    if code in _FENCED:
        return _fenced(transactional_id)
    if code in _DENIED:
        return ConfigError(
            f"Kafka refuses the capture: {why}",
            fix="With ACLs it needs Write, Describe and Create on <prefix>.*, Read on <prefix>.checkpoints.*, and\n"
            f"Write and Describe on the transactional id {transactional_id}.",
        )
    if lasted is not None and (code in _AWAY or lasted * 1000 >= TRANSACTION_TIMEOUT_MS):
        return KafkaUnavailable(
            f"Kafka did not commit a batch, which was tried for {lasted:.0f} s: {why}", fix=f"{_LOOK}\n{_GOES_ON}"
        )
    if code in _AWAY:
        return KafkaUnavailable(f"Kafka does not answer {transactional_id}: {why}", fix=f"{_LOOK}\n{_GOES_ON}")
    return error


def _fenced(transactional_id: str) -> Fenced:
    return Fenced(
        f"another instance took over the transactional id {transactional_id}",
        fix="Run one capture for each source; the one that was started last goes on.",
    )


def _ended_by_the_broker(lasted: float) -> KafkaUnavailable:
    return KafkaUnavailable(
        f"a transaction was open for {lasted:.0f} s, and the broker ends it after {TRANSACTION_TIMEOUT_MS // 1000}:"
        " Kafka was away, or this process was paused",
        fix=_GOES_ON,
    )
