"""
Transactions of ours that a broker forgot to end.

When a broker dies with a transaction open, or just decided, its coordinator ends the transaction after the restart by a
marker in each partition; a partition whose leader it does not know yet is passed over, for good (Kafka 4.4 logs
"Couldn't find leader endpoint for partitions ... likely deleted already").  There readers of committed records stand
still, and the next marker of the same producer would decide for what was left as well: an aborted batch would be
published a second time, or a committed one withdrawn.  So before anything is written, what has no end gets the one that
was decided.

Whether it was a commit is known: records and checkpoint are one transaction, so one committed part tells for all.  If
nothing of it is to be seen anywhere, nobody can have read it, and it is aborted and captured again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from meepo2_cdc.errors import Error, UnreadableData
from meepo2_cdc.kafka.clients import REQUEST_SECONDS, connect, is_final, quiet, read_some
from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.offsets import Extent, Partition, extents, undecided
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import encode_key
from meepo2_cdc.records.checkpoint import decode_checkpoint

log = structlog.get_logger()

_WAIT_SECONDS = 2
_MARKER_SECONDS = 10
_TAIL = 2000
_SHOWN = 5
_FILLER_KEY = encode_key("", "", ())
"""Key of the tombstone that carries a lost commit into a partition: a delete of nothing, for whom it is one."""


class _Left(NamedTuple):
    """What a partition holds of a transaction without an end."""

    partition: Partition
    first: int
    seqs: list[int]
    last: Message


class LostEnds:
    """
    Ends what the predecessor's transactions left open.

    Called with a producer that has fenced the predecessor and begun nothing.  Raises Error where it cannot be told what
    was decided.  Those of others are left alone.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        checkpoint_topic: str,
        source: str,
        data_partitions: Callable[[], list[Partition]],
        decode: Callable[[bytes], TableAction],
    ) -> None:
        self._kafka = kafka
        self._checkpoints = Partition(checkpoint_topic, 0)
        self._source = source
        self._data_partitions = data_partitions
        self._decode = decode

    def __call__(self, producer: Producer) -> None:
        admin = connect(self._kafka)
        partitions = [self._checkpoints, *self._data_partitions()]
        found = undecided(admin, partitions, _WAIT_SECONDS)
        if not found:
            return
        left = self._left(found)
        if not left:
            log.info("Transactions of others are open", partitions=[str(one) for one in found])
            return
        committed = self._was_committed(left, extents(admin, partitions))
        log.warning(
            "Transactions that a broker forgot to end were ended",
            committed=committed, partitions=[str(one.partition) for one in left],
        )  # fmt: skip
        self._end(producer, left, committed)
        still = undecided(admin, [one.partition for one in left], _MARKER_SECONDS)
        ours = {one.partition: one.first for one in self._left(still) if one.first == still[one.partition]}
        if ours:
            raise _not_ended(ours)

    def _left(self, found: Mapping[Partition, int]) -> list[_Left]:
        """Our records from where the first open transaction of each partition begins."""
        ours: dict[Partition, list[Message]] = {}
        for message in self._read(found, "read_uncommitted"):
            if self._is_ours(message):
                ours.setdefault(Partition(message.topic(), message.partition()), []).append(message)
        return [_Left(at, m[0].offset(), [self._seq(one) for one in m], m[-1]) for at, m in ours.items()]

    def _was_committed(self, left: list[_Left], ends: Mapping[Partition, Extent]) -> bool:
        """Raises Error where the partitions tell of two transactions with different ends."""
        checkpoint = self._visible([self._checkpoints], ends)
        data = [seq for one in left if one.partition != self._checkpoints for seq in one.seqs]
        if data and min(data) <= checkpoint < max(data):
            raise _not_ended({one.partition: one.first for one in left})
        if data and max(data) <= checkpoint:
            return True
        hung_checkpoint = any(one.partition == self._checkpoints for one in left)
        return hung_checkpoint and self._visible(self._data_partitions(), ends) > checkpoint

    def _visible(self, partitions: list[Partition], ends: Mapping[Partition, Extent]) -> int:
        """The highest seq that readers of committed records see; -1 when they see none."""
        begins = {one: max(ends[one].begin, ends[one].end - _TAIL) for one in partitions}
        seen = self._read(begins, "read_committed")
        return max((self._seq(message) for message in seen if self._is_ours(message)), default=-1)

    def _is_ours(self, message: Message) -> bool:
        if message.value() is None:
            return False
        if message.topic() == self._checkpoints.topic:
            return message.key() == self._source.encode()
        try:
            return self._decode(message.value() or b"").source.name == self._source
        except UnreadableData:
            return False

    def _seq(self, message: Message) -> int:
        raw = message.value() or b""
        return decode_checkpoint(raw).seq if message.topic() == self._checkpoints.topic else self._decode(raw).seq

    def _end(self, producer: Producer, left: list[_Left], committed: bool) -> None:
        """A transaction that touches the same partitions, ended as the lost one was."""
        producer.begin_transaction()
        for one in left:
            topic, number = one.partition
            if one.partition == self._checkpoints:
                producer.produce(topic, one.last.value(), one.last.key(), number)
            else:
                producer.produce(topic, None, _FILLER_KEY, number)
        producer.flush(REQUEST_SECONDS)
        if committed:
            producer.commit_transaction(REQUEST_SECONDS)
        else:
            producer.abort_transaction(REQUEST_SECONDS)

    def _read(self, begins: Mapping[Partition, int], isolation: str) -> Iterator[Message]:
        """Messages from those offsets to where the partitions end now."""
        consumer = Consumer({
            **quiet(self._kafka),
            "group.id": "meepo2-cdc.none",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        })  # fmt: skip
        left = set(begins)
        try:
            consumer.assign([TopicPartition(*one, begin) for one, begin in begins.items()])
            while left:
                for message in read_some(consumer, 1000, 0.2):
                    error = message.error()
                    if error is None:
                        yield message
                    elif error.code() == KafkaError._PARTITION_EOF:
                        left.discard(Partition(message.topic(), message.partition()))
                    elif is_final(error):
                        raise KafkaException(error)
        finally:
            consumer.close()


def _not_ended(found: Mapping[Partition, int]) -> Error:
    where = ", ".join(f"{one} from offset {offset}" for one, offset in sorted(found.items())[:_SHOWN])
    return Error(
        f"{len(found)} partitions hold a transaction that nobody ends: {where}",
        fix="A broker that crashed lost its end, and readers of committed records stand still there.\n"
        "`kafka-transactions.sh --bootstrap-server ... find-hanging --broker-id N` lists such transactions, and\n"
        "`... abort --topic TOPIC --partition N --start-offset OFFSET` ends one.  Then start the capture again.",
    )
