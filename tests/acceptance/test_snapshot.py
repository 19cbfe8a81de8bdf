"""
Snapshots as an operator sees them: asked for, followed, paused, cancelled, refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from meepo2_cdc.kafka.checkpoints import CheckpointTail
from meepo2_cdc.records.snapshot import Snapshot
from tests import history
from tests.command import SECONDS, Outcome
from tests.scenes import Scene, both

TABLES = (
    "CREATE TABLE pair (a INT, b VARCHAR(10) COLLATE utf8mb4_general_ci, PRIMARY KEY (b, a))",
    "CREATE TABLE item (id INT PRIMARY KEY, v INT)",
    "CREATE TABLE bare (v INT)",
)
ROWS = 40


@pytest.fixture
def filled(scene: Scene) -> Scene:
    """Tables with rows that no capture will read in the log."""
    scene.run(*TABLES, "INSERT INTO pair VALUES (1, 'b'), (2, 'B'), (1, 'ä')", "INSERT INTO bare VALUES (1)")
    scene.run(f"INSERT INTO item VALUES {', '.join(f'({n}, {n})' for n in range(ROWS))}")
    scene.settings["MEEPO2_CAPTURE_START"] = "latest"
    return scene


def asked(scene: Scene, *tables: str, flags: tuple[str, ...] = ()) -> Outcome:
    return scene.command("snapshot", *(f"{scene.database}.{table}" for table in tables), *flags)


def read(scene: Scene, table: str) -> list[tuple[Any, ...]]:
    """Keys of the snapshot's records, as often as they came."""
    found = history.actions(scene.reads())
    assert all(action.action.value == "write" for action in found if action.snapshot)
    return sorted((one.pk for one in found if one.snapshot and one.table == table), key=str)


def listed(scene: Scene) -> dict[str, tuple[str, str]]:
    """State and reason of each table, of the last snapshot that names it."""
    outcome = scene.command("snapshot", "list")
    assert outcome.code == 0, outcome.err
    lines = [line.split(maxsplit=4) for line in outcome.out.splitlines()[1:]]
    return {line[1].partition(".")[2]: (line[2], line[4] if len(line) > 4 else "") for line in lines}


def wait(scene: Scene, true_of: Callable[[Snapshot], bool], what: str) -> Snapshot:
    """The last snapshot, as soon as something is true of it."""

    kafka = {"bootstrap.servers": scene.kafka, "log_level": "2"}
    with CheckpointTail(kafka, f"{scene.prefix}.checkpoints.db", "db") as tail:
        found = tail.wait(lambda one: bool(one.snapshots) and true_of(one.snapshots[-1]), SECONDS)
    assert found is not None, what
    return found.snapshots[-1]


def test_a_first_start_can_take_all_that_is_there(filled: Scene) -> None:
    """A new target that hears only of changes never gets the rows that do not change."""
    filled.caught_up("--start", "snapshot")
    assert read(filled, "item") == sorted(((n,) for n in range(ROWS)), key=str)
    assert read(filled, "pair") == sorted([("b", 1), ("B", 2), ("ä", 1)], key=str)
    state, why = listed(filled)["bare"]
    assert (state, why.partition(".")[2]) == (
        "refused",
        "bare has no primary key: its rows have no names that a record could carry",
    )
    filled.run("DELETE FROM item WHERE id = 1")
    filled.caught_up("--start", "snapshot")
    assert filled.changes("item")[ROWS:] == [("delete", (1,))]
    assert len(read(filled, "item")) == ROWS, "a second start asks for nothing"


@both
def test_a_running_capture_reads_a_table_on_request_and_no_other(filled: Scene) -> None:
    """A new table must not cost a new beginning of all the others."""
    filled.log_in_as(filled.account())  # it may read, and write nothing
    capture = filled.capture()
    filled.run("INSERT INTO item VALUES (1000, 0)")
    outcome = asked(filled, "pair")
    assert outcome.code == 0, outcome.err
    assert "3 rows of 1 tables" in outcome.err
    assert len(read(filled, "pair")) == 3
    assert read(filled, "item") == []
    outcome = asked(filled, "item", flags=("--where", "v % 2 = 0 AND id < 1000", "--chunk-rows", "3"))
    assert outcome.code == 0, outcome.err
    assert read(filled, "item") == sorted(((n,) for n in range(0, ROWS, 2)), key=str)
    assert filled.command("status").out.count(" rows of ") == 2
    shown = json.loads(filled.command("snapshot", "list", "--json").out.splitlines()[-1])
    assert (shown["where"], shown["rows"]) == ("v % 2 = 0 AND id < 1000", ROWS // 2)
    assert capture.stop().code == 0


def test_a_snapshot_is_paused_throttled_resumed_and_cancelled_over_a_crash(filled: Scene) -> None:
    """An operator who finds the source overloaded at night must be able to stop it, and a restart must not forget."""
    capture = filled.capture()
    assert asked(filled, "item", "pair", flags=("--rate", "10", "--no-wait")).code == 0
    wait(filled, lambda one: one.rows_so_far >= 10, "some rows were read")
    assert filled.command("snapshot", "pause").code == 0
    paused = wait(filled, lambda one: one.paused, "it is paused")
    capture.kill()
    capture = filled.capture()
    assert listed(filled) == {"item": ("paused", listed(filled)["item"][1]), "pair": ("paused", "")}
    assert filled.command("snapshot", "cancel", "--table", f"{filled.database}.pair").code == 0
    found = wait(filled, lambda one: one.tables_ended == 1, "one table is cancelled")
    assert found.rows_so_far == paused.rows_so_far, "it was read while it was paused"
    assert filled.command("snapshot", "resume").code == 0
    over = wait(filled, lambda one: one.is_over, "it is over")
    assert [(table.table, table.outcome.value) for table in over.ended] == [("pair", "cancelled"), ("item", "done")]
    assert read(filled, "item") == sorted(((n,) for n in range(ROWS)), key=str)
    assert read(filled, "pair") == []
    item = over.ended[1]
    assert item.started_at is not None
    # the first chunk of ten rows, and that behind each pause, need not wait
    assert (item.ended_at - item.started_at).total_seconds() > (ROWS - 30) / 10
    capture.stop()


@pytest.mark.parametrize("scene", ["mariadb"], indirect=True)
def test_what_cannot_be_read_is_named_and_nothing_else_suffers(filled: Scene) -> None:
    """A snapshot that ends in silence without a table's rows is taken for one that has them."""
    capture = filled.capture(**{"MEEPO2_TABLES": f"{filled.database}.*,!{filled.database}.pair"})
    outcome = asked(filled, "bare", "pair", "nowhere", "item", flags=("--where", "no_such_column > 1"))
    assert outcome.code == 1
    assert "4 of 4 tables could not be read" in outcome.complaint
    for why in ("bare has no primary key", "pair: it is not captured", "nowhere does not exist", "no_such_column"):
        assert why in outcome.complaint
    assert asked(filled, "item").code == 0
    assert len(read(filled, "item")) == ROWS
    assert capture.runs


@pytest.mark.parametrize("scene", ["own_mariadb"], indirect=True)
def test_a_table_that_is_altered_or_dropped_under_its_snapshot(filled: Scene) -> None:
    """Keys of the old definition behind the statement would name rows that nobody has."""
    capture = filled.capture()
    assert asked(filled, "item", flags=("--rate", "10", "--no-wait")).code == 0
    wait(filled, lambda one: one.rows_so_far >= 10, "some rows were read")
    filled.run(
        "ALTER TABLE item ADD COLUMN k VARCHAR(10) NOT NULL DEFAULT '' FIRST, DROP PRIMARY KEY, ADD PRIMARY KEY (id, k)"
    )
    over = wait(filled, lambda one: one.is_over, "it is over")
    assert over.rows == ROWS, "the key is another one: all rows are read anew"
    behind = [pk for pk in read(filled, "item") if len(pk) == 2]
    assert behind == sorted(((n, "") for n in range(ROWS)), key=str)
    assert "its snapshot begins anew" in capture.said
    assert asked(filled, "item", flags=("--rate", "10", "--no-wait")).code == 0
    wait(filled, lambda one: one.rows_so_far >= 10, "some rows were read")
    filled.run("DROP TABLE item")
    (ended,) = wait(filled, lambda one: one.is_over, "it is over").ended
    assert (ended.outcome.value, ended.why) == ("gone", f"{filled.database}.item does not exist")
    assert capture.stop().code == 0


def test_without_a_capture_it_says_so_and_can_do_it_itself(filled: Scene) -> None:
    """Two captures would take the source away from each other; none at all would wait for ever."""
    outcome = asked(filled, "item", flags=("--once",))
    assert outcome.code == 0, outcome.err
    assert len(read(filled, "item")) == ROWS
    outcome = asked(filled, "pair")
    assert outcome.code == 1
    assert "no capture of the source 'db' heeded the request" in outcome.complaint
    capture = filled.capture()
    wait(filled, lambda one: one.is_over and one.rows == 3, "the request was heeded by the next capture")
    outcome = asked(filled, "pair", flags=("--once",))
    assert outcome.code == 4
    assert "a capture is connected" in outcome.complaint
    assert capture.runs
    assert len(read(filled, "pair")) == 3
