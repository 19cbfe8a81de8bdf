"""
Rows, tables and clocks that nobody expects, each of which once lost a record or stopped every capture for good.
"""

from __future__ import annotations

import time

from confluent_kafka.admin import AdminClient, NewPartitions

from tests.command import until
from tests.scenes import Scene, both, both_own


def test_a_table_dropped_behind_a_checkpoint_inside_its_transaction_is_still_counted(scene: Scene) -> None:
    """Otherwise the rows of the next table would be taken for published ones."""
    scene.run("CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)")
    first, second = (", ".join(f"({n})" for n in range(count)) for count in (2000, 98_000))
    with scene.server.connect(scene.database) as connection, connection.cursor() as cursor:
        for statement in ("BEGIN", f"INSERT INTO a VALUES {first}", f"INSERT INTO b VALUES {second}", "COMMIT"):
            cursor.execute(statement)
    running = scene.launch(MEEPO2_CAPTURE_COMMIT_ROWS="50")
    until(lambda: (found := scene.checkpoint()) is not None and found.rows_done, "a checkpoint inside the transaction")
    running.kill()
    saved = scene.checkpoint()
    assert saved is not None
    assert 0 < saved.rows_done < 100_000, "the capture was not killed inside the transaction"
    scene.run("DROP TABLE a")

    outcome = scene.once()

    assert outcome.code == 0, outcome.err
    assert f"{scene.database}.a" in outcome.err
    assert sorted(scene.changes("b")) == [("write", (n,)) for n in range(98_000)]


@both
def test_a_key_too_large_for_kafka_is_named_and_can_be_passed_over(scene: Scene) -> None:
    """A key over the beginning of a LONGTEXT carries the whole value; the broker refuses it at each start for ever."""
    scene.run("CREATE TABLE doc (body LONGTEXT, PRIMARY KEY (body(10)))", "CREATE TABLE test (id INT PRIMARY KEY)")
    scene.run(
        "INSERT INTO test VALUES (1)", "INSERT INTO doc VALUES (REPEAT('x', 2000000))", "INSERT INTO test VALUES (2)"
    )
    stopped = scene.once()
    assert stopped.code == 5
    assert f"{scene.database}.doc" in stopped.complaint
    scene.caught_up(MEEPO2_CAPTURE_ON_UNREADABLE="skip")
    assert scene.changes() == [("write", (1,)), ("write", (2,))]


@both_own
def test_a_session_with_a_clock_of_its_own_stops_nothing(scene: Scene) -> None:
    """Brokers refuse messages of more than an hour ahead; on MariaDB any session can write such transactions."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    with scene.server.connect(scene.database) as connection, connection.cursor() as cursor:
        cursor.execute("SET TIMESTAMP = UNIX_TIMESTAMP('2033-01-01')")
        cursor.execute("INSERT INTO test VALUES (1)")
    scene.run("INSERT INTO test VALUES (2)")
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,))]
    assert max(read.timestamp_ms for read in scene.reads()) <= time.time() * 1000


def test_the_same_table_emptied_after_it_got_partitions_tells_all_of_them(scene: Scene) -> None:
    """A consumer that has only one of the new partitions would keep its rows for ever."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.capture()
    scene.wait_for(1)
    admin = AdminClient({"bootstrap.servers": scene.kafka})
    topic = scene.topic("test")
    admin.create_partitions([NewPartitions(topic, 6)])[topic].result(30)
    scene.run("TRUNCATE TABLE test")
    scene.wait_for(7)
    assert {read.partition for read in scene.reads() if read.action and read.action.pk == ()} == set(range(6))
