"""
Reading the last checkpoint, while others write.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from meepo2_cdc.kafka import checkpoints
from meepo2_cdc.kafka.topics import ensure_topic
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.records.checkpoint import Checkpoint

CHECKPOINT = Checkpoint(
    source="db", flavor="mysql", server=None, gtid_set=None, file="binlog.000001", position=4, gtid=None, rows_done=0,
    undecided=None, seq=1, tables=("*.*",), committed_at=None, written_by="a test", written_at=datetime.now(UTC),
)  # fmt: skip


def checkpoint_topic(kafka: str, prefix: str) -> str:
    topic = f"{prefix}.checkpoints.db"
    ensure_topic(AdminClient({"bootstrap.servers": kafka}), topic, 1, 1, checkpoints.TOPIC_CONFIG)
    return topic


def test_no_topic_and_an_empty_topic_hold_no_checkpoint(kafka: str, prefix: str):
    """A first start must be told from a lost checkpoint."""
    conf = {"bootstrap.servers": kafka}
    assert checkpoints.read_checkpoint(conf, f"{prefix}.checkpoints.db", "db") is None
    assert checkpoints.read_checkpoint(conf, checkpoint_topic(kafka, prefix), "db") is None


def test_the_newest_checkpoint_is_read_behind_many_older_ones(kafka: str, prefix: str):
    """Compaction lags behind, so the topic holds thousands; an old one would repeat all that followed it."""
    topic = checkpoint_topic(kafka, prefix)
    writer = TransactionalWriter({"bootstrap.servers": kafka}, f"{prefix}.db", topic, "db")
    assert writer.open() is None
    for seq in range(1, 700):
        writer.write({}, replace(CHECKPOINT, seq=seq))
    found = checkpoints.read_checkpoint({"bootstrap.servers": kafka}, topic, "db")
    assert found is not None
    assert found.seq == 699


def test_a_checkpoint_behind_a_neighbours_open_transaction_is_waited_for(kafka: str, prefix: str):
    """
    Committed reading ends at the first open transaction, whoever's it is: reading "to the end" there gives an older
    checkpoint, and everything between is published twice.
    """
    topic = checkpoint_topic(kafka, prefix)
    ours = TransactionalWriter({"bootstrap.servers": kafka}, f"{prefix}.db", topic, "db")
    ours.open()
    ours.write({}, replace(CHECKPOINT, seq=100))
    neighbour = Producer({"bootstrap.servers": kafka, "transactional.id": f"{prefix}.neighbour"})
    neighbour.init_transactions()
    neighbour.begin_transaction()
    neighbour.produce(topic, key=b"neighbour", value=b"open")
    neighbour.flush()
    ours.write({}, replace(CHECKPOINT, seq=200))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(checkpoints.read_checkpoint, {"bootstrap.servers": kafka}, topic, "db")
        wait([reading], timeout=3)  # as long as a wrong answer may take to come
        neighbour.abort_transaction()
        found = reading.result(60)

    assert found is not None
    assert found.seq == 200
