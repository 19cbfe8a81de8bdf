"""
What changes on the server, and what of it reaches Kafka (PARITY section 10 A).
"""

from __future__ import annotations

import json

from tests.acceptance import tutorial
from tests.history import by_key, folded
from tests.scenes import Scene, both, both_own


def test_the_tutorial_is_thirteen_changes_in_order_for_each_key(scene: Scene) -> None:
    """S1.  Every later promise rests on this: each change of a row once, and none else."""
    scene.run(tutorial.TABLE, *tutorial.STATEMENTS)
    scene.caught_up()
    replayed = scene.command("replay", "--from-offset", "0", "--json")
    lines = [json.loads(line) for line in replayed.out.splitlines()]
    changes = [(line["action"], tuple(line["pk"])) for line in lines]
    assert by_key(changes) == by_key(tutorial.CHANGES)
    assert {(line["schema"], line["table"]) for line in lines} == {(scene.database, "test")}
    seqs = [line["seq"] for line in lines]
    assert seqs == list(range(seqs[0], seqs[0] + 13))


@both
def test_with_one_partition_the_tutorial_is_in_order_overall(scene: Scene) -> None:
    """S1.  A consumer of one partition sees changes as the server committed them."""
    scene.run(tutorial.TABLE, *tutorial.STATEMENTS)
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1")
    reads = scene.reads()
    assert [(one.action.action.value, one.action.pk) for one in reads if one.action] == tutorial.CHANGES
    assert {one.partition for one in reads} == {0}


def test_other_tables_are_not_delivered_but_the_position_goes_past_them(scene: Scene) -> None:
    """S3.  A position that stands still is one day a position that was purged."""
    scene.run(tutorial.TABLE, "CREATE TABLE other (id INT PRIMARY KEY)", "INSERT INTO test (data) VALUES ('a')")
    only = {"MEEPO2_TABLES": f"{scene.database}.test"}
    scene.caught_up(**only)
    before = scene.checkpoint()
    scene.run("INSERT INTO other VALUES (1)")
    end = scene.server.end()
    scene.caught_up(**only)
    after = scene.checkpoint()
    assert scene.changes() == [("write", (1,))]
    assert before is not None
    assert after is not None
    assert after.seq == before.seq
    assert (after.file, after.position) >= (before.file, before.position)
    assert after.position >= int(end.rpartition(":")[2])


def test_parts_of_a_composite_key_arrive_as_they_are(scene: Scene) -> None:
    """S4.  A key that is joined to one text cannot be taken apart again."""
    scene.run("CREATE TABLE comp (a INT, b VARCHAR(20), PRIMARY KEY (a, b))")
    scene.run("INSERT INTO comp VALUES (1, 'x')", "INSERT INTO comp VALUES (1, 'y z')")
    scene.caught_up()
    assert scene.changes() == [("write", (1, "x")), ("write", (1, "y z"))]
    printed = scene.command("replay", "--json").out.splitlines()
    assert [json.loads(line)["pk"] for line in printed] == [[1, "x"], [1, "y z"]]


@both
def test_keys_zero_and_empty_are_delivered(scene: Scene) -> None:
    """S6.  The predecessor dropped what is false in Python."""
    scene.run("CREATE TABLE number (id INT PRIMARY KEY)", "CREATE TABLE word (id VARCHAR(9) PRIMARY KEY)")
    scene.run("INSERT INTO number VALUES (0)", "INSERT INTO word VALUES ('')")
    scene.caught_up()
    assert scene.changes("number") == [("write", (0,))]
    assert scene.changes("word") == [("write", ("",))]


def test_a_changed_key_is_a_delete_and_a_write(scene: Scene) -> None:
    """S7.  A replica that only hears the new key keeps the old row for ever."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (500)")
    scene.run("UPDATE test SET id = 501 WHERE id = 500")
    scene.caught_up()
    assert scene.changes() == [("write", (500,)), ("delete", (500,)), ("write", (501,))]
    assert folded(scene.changes()) == {(501,)}


def test_tables_of_one_name_in_two_schemas_are_told_apart(scene: Scene) -> None:
    """S8.  Rows of one application end up in the replica of another otherwise."""
    other = f"{scene.database}_b"
    try:
        scene.run("CREATE TABLE test (id INT PRIMARY KEY)", f"CREATE DATABASE {other}")
        scene.run(f"CREATE TABLE {other}.test (id INT PRIMARY KEY)")
        scene.run("INSERT INTO test VALUES (1)", f"INSERT INTO {other}.test VALUES (77)")
        scene.caught_up(MEEPO2_TABLES=f"{scene.database}*.test")
    finally:
        scene.run(f"DROP DATABASE {other}")
    assert scene.changes(f"{scene.database}.test") == [("write", (1,))]
    assert scene.changes(f"{other}.test") == [("write", (77,))]
    assert {one.topic for one in scene.reads()} == {scene.topic("test"), f"{scene.prefix}.{other}.test"}


def test_rolled_back_and_unchanged_rows_give_nothing_and_replaced_ones_an_update(scene: Scene) -> None:
    """S14.  A row that never was must not be announced, nor one that is still the same."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY, data INT)", "INSERT INTO test VALUES (1, 1)")
    scene.run("BEGIN", "INSERT INTO test VALUES (2, 1)", "ROLLBACK")
    scene.run("UPDATE test SET data = 1 WHERE id = 1")
    scene.run("REPLACE INTO test VALUES (1, 2)")
    scene.run("INSERT INTO test VALUES (1, 3) ON DUPLICATE KEY UPDATE data = 4")
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("update", (1,)), ("update", (1,))]


@both
def test_text_beyond_the_first_plane_arrives_intact(scene: Scene) -> None:
    """S15.  The predecessor ended at the first utf8mb4 column."""
    scene.run("CREATE TABLE test (name VARCHAR(20) PRIMARY KEY) CHARACTER SET utf8mb4")
    scene.run("INSERT INTO test VALUES ('hé😀')")
    scene.caught_up()
    assert scene.changes() == [("write", ("hé😀",))]


@both_own
def test_rows_written_before_a_change_of_the_table_keep_their_key(scene: Scene) -> None:
    """S16.  With names from today, a column put in front was taken for the key."""
    scene.run(tutorial.TABLE, "INSERT INTO test (data) VALUES ('one')")
    scene.run("ALTER TABLE test ADD COLUMN extra VARCHAR(20) FIRST")
    scene.run("CREATE TABLE less (gone INT, id INT PRIMARY KEY)", "INSERT INTO less VALUES (7, 1)")
    scene.run("ALTER TABLE less DROP COLUMN gone", "INSERT INTO less VALUES (2)")
    scene.run("CREATE TABLE dropped (id INT PRIMARY KEY)", "INSERT INTO dropped VALUES (1)", "DROP TABLE dropped")
    scene.run("CREATE TABLE later (id INT PRIMARY KEY)", "INSERT INTO later VALUES (1)")
    scene.caught_up()
    assert scene.changes("test") == [("write", (1,))]
    assert scene.changes("less") == [("write", (1,)), ("write", (2,))]
    assert scene.changes("dropped") == [("write", (1,))]
    assert scene.changes("later") == [("write", (1,))]


@both
def test_without_row_metadata_a_dropped_table_is_named_and_later_ones_go_on(scene: Scene) -> None:
    """S16.  A server as it is by default does not say what the key of a dropped table was."""
    scene.run("CREATE TABLE dropped (id INT PRIMARY KEY)", "INSERT INTO dropped VALUES (1)", "DROP TABLE dropped")
    scene.run("CREATE TABLE later (id INT PRIMARY KEY)", "INSERT INTO later VALUES (1)")
    outcome = scene.caught_up()
    assert scene.changes() == [("write", (1,))]
    warnings = [line for line in outcome.err.splitlines() if f"{scene.database}.dropped" in line]
    assert ["no longer exists" in line for line in warnings] == [True, False], outcome.err
    assert "A table was dropped" in warnings[1]


@both
def test_without_row_metadata_a_changed_table_stops_unless_told_to_skip(scene: Scene) -> None:
    """S16.  A key that would be guessed is worse than a stop; the way out is named and works."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.run("ALTER TABLE test ADD COLUMN extra VARCHAR(20) FIRST", "INSERT INTO test VALUES ('x', 2)")
    stopped = scene.once()
    assert stopped.code == 5
    assert f"{scene.database}.test changed after the event was written" in stopped.complaint
    assert "binlog_row_metadata = FULL" in stopped.complaint
    skipped = scene.caught_up(MEEPO2_CAPTURE_ON_UNREADABLE="skip")
    assert f"table={scene.database}.test" in skipped.err
    assert scene.changes() == [("write", (2,))]


@both_own
def test_a_truncate_and_ddl_are_heard_and_do_not_stop_the_rest(scene: Scene) -> None:
    """S20.  No row events tell that a table was emptied; without a record a replica keeps all its rows."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)", "TRUNCATE TABLE test")
    scene.run("ALTER TABLE test COMMENT 'x'", "INSERT INTO test VALUES (2)")
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="2")
    assert scene.changes() == [("write", (1,)), ("truncate", ()), ("truncate", ()), ("write", (2,))]
    truncated = [one.partition for one in scene.reads() if one.action and one.action.action.value == "truncate"]
    assert truncated == [0, 1]
