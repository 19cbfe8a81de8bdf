"""
A broker that dies, and forgets to end a transaction in some of its partitions.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from meepo2_cdc.kafka.checkpoints import TOPIC_CONFIG
from meepo2_cdc.kafka.lost_ends import LostEnds
from meepo2_cdc.kafka.offsets import Partition, extents, undecided
from meepo2_cdc.kafka.ranges import messages_in
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.records.avro import ActionDecoder, encode_action, encode_key
from meepo2_cdc.records.checkpoint import Checkpoint
from tests.command import until
from tests.kafka import COMMITTED_AT, Topics, record
from tests.services import native

TOPICS, PARTITIONS, ROUNDS = 25, 4, 12
TIMEOUT_MS = 2000


def checkpoint(seq: int) -> Checkpoint:
    return Checkpoint(
        "db",
        "mysql",
        "s",
        None,
        "binlog.000001",
        4 + seq,
        None,
        0,
        None,
        seq,
        ("*.*",),
        COMMITTED_AT,
        "t",
        COMMITTED_AT,
    )


class Log:
    """Data topics, a checkpoint topic, and a writer's way of filling both in one transaction."""

    def __init__(self, address: str) -> None:
        self.kafka = {"bootstrap.servers": address, "log_level": "0"}
        topics = Topics(address)
        self.admin = topics.admin
        self.names = [topics.create(f"p.shop.t{n}", PARTITIONS, retention_ms="-1") for n in range(TOPICS)]
        self.checkpoints = topics.create("p.checkpoints.db", 1, **TOPIC_CONFIG)
        self.data = [Partition(name, n) for name in self.names for n in range(PARTITIONS)]
        self.seq = 0

    def producer(self) -> Producer:
        made = Producer({**self.kafka, "transactional.id": "p.db", "transaction.timeout.ms": TIMEOUT_MS})
        made.init_transactions(60)
        return made

    def write(self, producer: Producer, *, with_checkpoint: bool = True) -> None:
        """One record in each partition and the checkpoint behind them, in a transaction that is not ended here."""
        producer.begin_transaction()
        for topic, number in self.data:
            self.seq += 1
            one = record(self.seq, table=topic.rsplit(".", 1)[1])
            producer.produce(topic, encode_action(one), encode_key(one.schema, one.table, one.pk), number)
        if with_checkpoint:
            producer.produce(self.checkpoints, checkpoint(self.seq).encoded(), b"db", 0)
        producer.flush(30)

    def write_checkpoint(self) -> None:
        """As if it were the part of the last transaction that got its end."""
        producer = Producer(self.kafka)
        producer.produce(self.checkpoints, checkpoint(self.seq).encoded(), b"db", 0)
        producer.flush(30)

    def seen(self) -> list[int]:
        """The seqs that a reader of committed records gets."""
        decode = ActionDecoder().action
        found = messages_in(self.kafka, extents(self.admin, self.data))
        return sorted(decode(one.value()).seq for one in found if one.value() is not None)

    def lost(self) -> bool:
        return bool(undecided(self.admin, [*self.data, Partition(self.checkpoints, 0)], 3))

    def writer(self) -> TransactionalWriter:
        end_lost = LostEnds(self.kafka, self.checkpoints, "db", lambda: self.data, ActionDecoder().action)
        return TransactionalWriter(self.kafka, "p.db", self.checkpoints, "db", end_lost=end_lost)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("committed", [False, True], ids=["aborted", "committed"])
def test_a_transaction_that_a_broker_forgot_to_end_gets_the_end_it_was_to_have(tmp_path: Path, committed: bool):
    """What was aborted came back with the next commit; what was committed would go with the next abort."""
    with native.kafka(tmp_path, 19_997, {}) as broker:
        log = Log(broker.address)
        for _ in range(ROUNDS):
            producer = log.producer()
            log.write(producer)
            producer.commit_transaction(30)
            before = log.seq
            log.write(producer, with_checkpoint=not committed)
            broker.kill()
            over = time.monotonic() + TIMEOUT_MS / 1000  # so that the coordinator aborts it as soon as it is there
            until(lambda end=over: time.monotonic() > end, "the transaction has timed out")
            broker.start()
            del producer
            if log.lost():
                break
            log.seq = log.seen()[-1]
        else:
            pytest.fail(f"the broker lost no end in {ROUNDS} crashes, so nothing was shown")
        if committed:
            log.write_checkpoint()

        found = log.writer().open()
        assert not log.lost()
        assert found is not None
        assert found.seq == (log.seq if committed else before)
        assert log.seen() == list(range(1, found.seq + 1))

        log.seq = found.seq  # as a capture would go on, from its checkpoint
        again = log.producer()
        log.write(again)
        again.commit_transaction(30)
        assert log.seen() == list(range(1, log.seq + 1))
