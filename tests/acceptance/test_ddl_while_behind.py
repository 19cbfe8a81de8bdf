"""
Tables that are altered, renamed and replaced while the capture is down or behind.

A record must have the key that its table had when the row was changed, whatever the table has become since.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.acceptance import online_ddl
from tests.acceptance.conftest import ServerNamed
from tests.command import until
from tests.history import Change, data_topics
from tests.scenes import MakeScene, Scene
from tests.sources import known_sources


@pytest.fixture(params=known_sources())
def scene(request: pytest.FixtureRequest, server_named: ServerNamed, make_scene: MakeScene) -> Scene:
    return make_scene(server_named(request.param))


@dataclass(frozen=True)
class Altered:
    """A table as it is made and first written to, what befalls it while nobody reads, and all that is to be told."""

    table: str
    made: str
    first: str
    behind: tuple[str, ...]
    changes: tuple[Change, ...]


def writes(*keys: object) -> tuple[Change, ...]:
    return tuple(("write", key if isinstance(key, tuple) else (key,)) for key in keys)  # type: ignore[misc]


ALTERED = [
    Altered(
        "added", "(id INT PRIMARY KEY, v INT)", "(1, 10)",
        (
            "INSERT INTO added VALUES (2, 20)",
            "ALTER TABLE added ADD COLUMN front VARCHAR(9) FIRST, ADD COLUMN middle INT NOT NULL DEFAULT 7 AFTER id",
            "INSERT INTO added VALUES ('x', 3, 7, 30)",
        ),
        writes(1, 2, 3),
    ),
    Altered(
        "dropped", "(front INT, id INT PRIMARY KEY, v INT)", "(10, 1, 10)",
        (
            "INSERT INTO dropped VALUES (20, 2, 20)",
            "ALTER TABLE dropped DROP COLUMN front",
            "INSERT INTO dropped VALUES (3, 30)",
        ),
        writes(1, 2, 3),
    ),
    Altered(
        "renamed", "(id INT PRIMARY KEY, v INT)", "(1, 10)",
        (
            "INSERT INTO renamed VALUES (2, 20)",
            "ALTER TABLE renamed CHANGE v old INT, CHANGE id v INT",
            "ALTER TABLE renamed CHANGE old id INT",
            "INSERT INTO renamed (v, id) VALUES (3, 30)",
        ),
        writes(1, 2, 3),
    ),
    Altered(
        "reordered", "(id INT PRIMARY KEY, v INT)", "(1, 10)",
        (
            "INSERT INTO reordered VALUES (2, 20)",
            "ALTER TABLE reordered MODIFY id INT AFTER v",
            "INSERT INTO reordered VALUES (30, 3)",
        ),
        writes(1, 2, 3),
    ),
    Altered(
        "rekeyed", "(a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a))", "(1, 10)",
        (
            "INSERT INTO rekeyed VALUES (2, 20)",
            "ALTER TABLE rekeyed DROP PRIMARY KEY, ADD PRIMARY KEY (b)",
            "UPDATE rekeyed SET a = 5 WHERE b = 20",
            "ALTER TABLE rekeyed DROP PRIMARY KEY, ADD PRIMARY KEY (b, a)",
            "DELETE FROM rekeyed WHERE b = 20",
            "ALTER TABLE rekeyed DROP PRIMARY KEY",
            "INSERT INTO rekeyed VALUES (3, 30)",
            "ALTER TABLE rekeyed ADD PRIMARY KEY (a)",
            "INSERT INTO rekeyed VALUES (4, 40)",
        ),
        (*writes(1, 2), ("update", (20,)), ("delete", (20, 5)), *writes(4)),
    ),
    Altered(
        "retyped", "(id INT PRIMARY KEY)", "(1)",
        (
            "INSERT INTO retyped VALUES (2)",
            "ALTER TABLE retyped MODIFY id BIGINT UNSIGNED",
            "INSERT INTO retyped VALUES (4294967296)",
            "ALTER TABLE retyped MODIFY id VARCHAR(20) CHARACTER SET latin1",
            "INSERT INTO retyped VALUES ('größe')",
            "ALTER TABLE retyped MODIFY id VARCHAR(20) CHARACTER SET utf8mb4",
            "INSERT INTO retyped VALUES ('☃')",
        ),
        writes(1, 2, 4294967296, "größe", "☃"),
    ),
    Altered(
        "relabelled", "(id ENUM('a', 'b') PRIMARY KEY)", "('b')",
        (
            "INSERT INTO relabelled VALUES ('a')",
            "ALTER TABLE relabelled MODIFY id ENUM('z', 'b', 'a')",
            "INSERT INTO relabelled VALUES ('z')",
        ),
        writes("b", "a", "z"),
    ),
    Altered(
        "again", "(id INT PRIMARY KEY, name VARCHAR(9))", "(1, 'x')",
        (
            "INSERT INTO again VALUES (2, 'y')",
            "DROP TABLE again",
            "CREATE TABLE again (id INT, name VARCHAR(9), PRIMARY KEY (name, id))",
            "INSERT INTO again VALUES (3, 'z')",
        ),
        writes(1, 2, ("z", 3)),
    ),
    Altered(
        "moved", "(id INT PRIMARY KEY, v INT NOT NULL)", "(1, 10)",
        (
            "INSERT INTO moved VALUES (2, 20)",
            "RENAME TABLE moved TO moved_away",
            "CREATE TABLE moved (v INT PRIMARY KEY, id INT)",
            "INSERT INTO moved VALUES (30, 3)",
        ),
        writes(1, 2, 30),
    ),
    Altered(
        "emptied", "(id INT PRIMARY KEY)", "(1)",
        ("INSERT INTO emptied VALUES (2)", "TRUNCATE TABLE emptied", "INSERT INTO emptied VALUES (2)"),
        (*writes(1, 2), ("truncate", ()), *writes(2)),
    ),
    Altered(
        "at_once", "(id INT PRIMARY KEY, v INT, w INT)", "(1, 10, 100)",
        (
            "INSERT INTO at_once VALUES (2, 20, 200)",
            "ALTER TABLE at_once ADD COLUMN x INT FIRST, ALGORITHM=INSTANT",
            "INSERT INTO at_once VALUES (9, 3, 30, 300)",
            "ALTER TABLE at_once DROP COLUMN v, ALGORITHM=INSTANT",
            "UPDATE at_once SET w = 1 WHERE id = 2",
            "ALTER TABLE at_once ADD COLUMN v VARCHAR(300) AFTER x, ALGORITHM=INSTANT",
            "DELETE FROM at_once WHERE id = 1",
        ),
        (*writes(1, 2, 3), ("update", (2,)), ("delete", (1,))),
    ),
    Altered(
        "gone", "(id INT PRIMARY KEY)", "(1)",
        ("INSERT INTO gone VALUES (2)", "DROP TABLE gone"),
        writes(1, 2),
    ),
]  # fmt: skip


def start(scene: Scene, *altered: Altered) -> None:
    """The tables and their first rows, captured by a process that then dies."""
    scene.run(*(f"CREATE TABLE {one.table} {one.made}" for one in altered))
    capture = scene.capture(MEEPO2_TOPICS_PARTITIONS="1")
    scene.run(*(f"INSERT INTO {one.table} VALUES {one.first}" for one in altered))
    scene.wait_for(len(altered))
    capture.kill()


def test_keys_are_those_of_the_time_of_each_change(scene: Scene) -> None:
    """Read by the names and keys of today, a row of yesterday is published under another row's key."""
    start(scene, *ALTERED)
    for one in ALTERED:
        scene.run(*one.behind)
    outcome = scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1")
    assert {one.table: tuple(scene.changes(one.table)) for one in ALTERED} == {
        one.table: one.changes for one in ALTERED
    }
    lost = [line for line in outcome.err.splitlines() if "no record tells" in line or "under the old name" in line]
    assert [line.split("table=")[1].split()[0].partition(".")[2] for line in lost] == ["again", "moved", "gone"]


@pytest.mark.parametrize("scene", ["mysql", "mariadb"], indirect=True)
def test_tables_that_go_without_a_record_are_named(scene: Scene) -> None:
    """No event tells that rows went with their table: replicas keep them, and somebody must be able to know."""
    other = f"{scene.database}_b"
    scene.run("CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE left_out (id INT PRIMARY KEY)")
    scene.run(f"CREATE DATABASE {other}", f"CREATE TABLE {other}.b (id INT PRIMARY KEY)")
    scene.run("DROP TABLE a, left_out", f"DROP DATABASE {other}")
    outcome = scene.caught_up(MEEPO2_TABLES=f"{scene.database}.*,!*.left_out,{other}.*")
    named = [line for line in outcome.err.splitlines() if "no record tells" in line]
    assert len(named) == 2, outcome.err
    assert "A table was dropped, and no record tells of its rows" in named[0]
    assert named[0].endswith(f" table={scene.database}.a")
    assert "A schema was dropped, and no record tells of its rows" in named[1]
    assert named[1].endswith(f" schema={other}")


# -- tools that alter a table by way of a copy


def assert_only_the_tables_own(scene: Scene, said: str) -> None:
    """Each change of the table itself, none of a copy, and one line for each copy."""
    found = {tool.table: scene.changes(tool.table) for tool in online_ddl.TOOLS}
    assert found == {tool.table: tool.changes for tool in online_ddl.TOOLS}
    assert not [topic for topic in data_topics(scene.kafka, scene.prefix) if f"{scene.database}._" in topic]
    for name in [name for tool in online_ddl.TOOLS for name in tool.written_copies]:
        lines = [line for line in said.splitlines() if f"table={scene.database}.{name} " in f"{line} "]
        assert len(lines) == 1, said
        assert "Rows of a table are passed over" in lines[0]
        assert "name it in tables" in lines[0]


def test_copies_that_online_ddl_tools_make_are_passed_over_while_behind(scene: Scene) -> None:
    """The copy has every row of the table once more; as topics of their own they are as large as the tables."""
    scene.run(*(statement for tool in online_ddl.TOOLS for statement in tool.before))
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1")
    scene.run(*(statement for tool in online_ddl.TOOLS for statement in tool.statements))
    assert_only_the_tables_own(scene, scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1").err)


def test_a_capture_that_keeps_up_goes_through_the_cut_over_without_row_metadata(scene: Scene) -> None:
    """The table of a name is another one from one moment to the next, with other columns in other places."""
    with scene.server.having(binlog_row_metadata="MINIMAL"):
        scene.run("CREATE TABLE mark (id INT PRIMARY KEY)")
        capture = scene.capture(MEEPO2_TOPICS_PARTITIONS="1")
        steps = [step for tool in online_ddl.TOOLS for step in (tool.before, *tool.steps)]
        for number, step in enumerate(steps):
            scene.run(*step, f"INSERT INTO mark VALUES ({number})")
            until(lambda number=number: ("write", (number,)) in scene.changes("mark"), f"all of {step}")
        outcome = capture.stop()
    assert outcome.code == 0, outcome.err
    assert_only_the_tables_own(scene, outcome.err)


def test_behind_a_cut_over_without_row_metadata_it_stops_unless_told_that_the_key_is_the_same(scene: Scene) -> None:
    """The definition of now is that of another table than the rows were written to."""
    tool = online_ddl.REBUILT
    with scene.server.having(binlog_row_metadata="MINIMAL"):
        scene.run(*tool.before)
        scene.caught_up()
        scene.run(*tool.statements)
        stopped = scene.once()
        assert stopped.code == 5, stopped.err
        assert f"{scene.database}.rebuilt changed after the event was written" in stopped.complaint
        assert "assume_present_keys" in stopped.complaint
        scene.caught_up(MEEPO2_SOURCE_ASSUME_PRESENT_KEYS="true")
    assert scene.changes("rebuilt") == tool.changes


@pytest.mark.parametrize("scene", ["mysql"], indirect=True)
def test_check_names_tables_that_are_left_out_as_copies(scene: Scene) -> None:
    """Somebody whose own table is called so must learn of it before its changes are missed."""
    scene.run("CREATE TABLE _orders_old (id INT PRIMARY KEY)", "CREATE TABLE orders (id INT PRIMARY KEY)")
    outcome = scene.command("check")
    assert outcome.code == 0, outcome.err
    assert f"1 tables left out for their names: {scene.database}._orders_old" in outcome.out
    named = scene.settings["MEEPO2_TABLES"] + f",{scene.database}._orders_old"
    scene.settings["MEEPO2_TABLES"] = named
    scene.run("INSERT INTO _orders_old VALUES (1)")
    scene.caught_up()
    assert scene.changes() == [("write", (1,))]
    assert "left out for their names:" not in scene.command("check").out
