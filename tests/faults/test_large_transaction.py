"""
One statement that changes millions of rows: read within bounded memory, killed inside, and resumed exactly.

Half a million rows; five million in a long run.
"""

from __future__ import annotations

import signal
from array import array
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder
from tests.command import Running, until
from tests.faults.owned import LONG, Owned, OwnedKafka, fresh_scene, in_turn
from tests.faults.watching import checkpoints
from tests.history import consumer
from tests.scenes import Scene

ROWS = 5_000_000 if LONG else 500_000
MEMORY_BYTES = 150_000_000
PATIENCE_SECONDS = 1200
_DIGITS = " UNION ALL ".join(f"SELECT {n}" + (" d" if n == 0 else "") for n in range(10))


@pytest.fixture
def scene(owned: Owned, own_kafka: OwnedKafka) -> Iterator[Scene]:
    with fresh_scene(owned.server, own_kafka.process.address) as made:
        yield made


def insert_in_one_statement(scene: Scene) -> None:
    server = scene.server
    digits = ", ".join(f"({_DIGITS}) d{n}" for n in range(7))
    number = " + ".join(f"d{n}.d * {10**n}" for n in range(7))
    with (
        pymysql.connect(host=server.host, port=server.port, user=server.user, database=scene.database) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"INSERT INTO big SELECT n, 'x' FROM (SELECT {number} AS n FROM {digits}) t WHERE n < {ROWS}")
        assert cursor.rowcount == ROWS
        connection.commit()


def rows_done(scene: Scene) -> int:
    checkpoint = scene.checkpoint()
    assert checkpoint is not None
    return checkpoint.rows_done


@in_turn("mysql")
def test_a_huge_transaction_fits_into_memory_is_seen_early_and_survives_a_kill(scene: Scene) -> None:
    """A transaction that must be read whole is read for ever: memory ends before it does, at each start again."""
    scene.run("CREATE TABLE big (id INT PRIMARY KEY, pad VARCHAR(20))")
    scene.caught_up()
    before = scene.checkpoint()
    assert before is not None
    insert_in_one_statement(scene)

    with checkpoints(scene, PATIENCE_SECONDS) as wait:
        first = scene.capture()
        wait(lambda one: one.rows_done > ROWS // 5, "well inside the transaction")
        freeze(first)  # so that it cannot reach the end while it is looked at
        assert any_record(scene, "read_uncommitted")
        assert 0 < rows_done(scene) < ROWS, "it was not stopped inside the transaction"
        peaks = [first.resident_bytes()]
        first.kill()

    with checkpoints(scene, PATIENCE_SECONDS) as wait:
        second = scene.capture()
        wait(lambda one: one.seq >= before.seq + ROWS and not one.rows_done, "behind the transaction")
        peaks.append(second.resident_bytes())
        assert second.stop().code == 0
    print(f"{scene.server.flavor}: {ROWS} rows, peaks {[peak // 1_000_000 for peak in peaks]} MB")
    assert max(peaks) < MEMORY_BYTES

    keys, seqs = tallied(scene, before.seq + 1)
    assert keys == array("B", [1]) * ROWS, "keys that are not there once"
    assert seqs == keys, "a gap or a repeat in seq"


def freeze(capture: Running) -> None:
    capture.send(signal.SIGSTOP)
    until(lambda: "State:\tT" in Path(f"/proc/{capture.pid}/status").read_text(), "it is stopped")


def any_record(scene: Scene, isolation: str) -> bool:
    """Whether a consumer gets a record of the table, in any time."""
    reading = consumer(scene.kafka, **{"isolation.level": isolation})
    try:
        reading.subscribe([scene.topic("big")])
        message = until(lambda: reading.poll(0.1), "a record")
        return message.error() is None
    finally:
        reading.close()


def tallied(scene: Scene, first_seq: int) -> tuple[array[int], array[int]]:
    """How often each key is there, and each seq; IndexError for one that cannot be."""
    keys, seqs = array("B", [0]) * ROWS, array("B", [0]) * ROWS
    for action in committed(scene):
        assert (action.action.value, action.table, action.seq >= first_seq) == ("write", "big", True)
        (key,) = action.pk
        assert isinstance(key, int)
        assert key >= 0
        keys[key] += 1
        seqs[action.seq - first_seq] += 1
    return keys, seqs


def committed(scene: Scene) -> Iterator[TableAction]:
    """All committed records of the table, one by one: together they are larger than memory."""
    topic, decode = scene.topic("big"), ActionDecoder().action
    reading = consumer(scene.kafka, **{"enable.partition.eof": True, "isolation.level": "read_committed"})
    try:
        open_ends = set(reading.list_topics(topic).topics[topic].partitions)
        # a commit returns before its markers reach the partitions; this waits for them
        extents(AdminClient({"bootstrap.servers": scene.kafka}), [Partition(topic, number) for number in open_ends])
        reading.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in open_ends])
        while open_ends:
            messages = until(lambda: reading.consume(10_000, timeout=0.1), f"the ends of {open_ends} of {topic}")
            for message in messages:
                if message.error() is None:
                    yield decode(message.value())
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    open_ends.discard(message.partition())
    finally:
        reading.close()
