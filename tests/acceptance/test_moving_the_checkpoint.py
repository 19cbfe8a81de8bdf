"""
`checkpoint set` and `checkpoint rewind`: where a capture shall go on, said by hand.
"""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from meepo2_cdc.records.checkpoint import Checkpoint
from tests import history
from tests.command import until
from tests.scenes import Scene, both, both_own

TABLE = "CREATE TABLE test (id INT PRIMARY KEY)"


def saved(scene: Scene) -> Checkpoint:
    found = scene.checkpoint()
    assert found is not None
    return found


def captured_with_a_place_between(scene: Scene) -> dict[str, str]:
    """Two rows are captured; where the log was between them, in each form."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    places = {"--to-file-pos": scene.server.end(), "--to-gtid": scene.server.executed()}
    scene.run("INSERT INTO test VALUES (2)")
    scene.caught_up()
    return places


@both_own
@pytest.mark.parametrize("form", ["--to-file-pos", "--to-gtid"])
def test_what_follows_the_place_rewound_to_is_published_again_under_new_numbers(scene: Scene, form: str) -> None:
    """A sink that lost its data asks for this; with the old numbers it would take all for repeated and drop it."""
    place = captured_with_a_place_between(scene)[form]
    before = saved(scene).seq

    assert scene.command("checkpoint", "rewind", form, place).code == 0
    scene.caught_up()

    assert scene.changes() == [("write", (1,)), ("write", (2,)), ("write", (2,))]
    assert saved(scene).seq == before + 1


@both_own
def test_a_rewind_to_a_time_begins_with_the_first_transaction_of_that_time(scene: Scene) -> None:
    """Who restores a target from last night's backup knows the time, not the position."""
    captured_with_a_place_between(scene)
    first = history.actions(scene.reads())[0].committed_at

    assert scene.command("checkpoint", "rewind", "--to-timestamp", first.isoformat()).code == 0
    scene.caught_up()

    assert scene.changes() == [("write", (1,)), ("write", (2,))] * 2


def test_a_dry_run_says_where_from_and_where_to_and_moves_nothing(scene: Scene) -> None:
    """It must not fence the capture that runs either."""
    place = captured_with_a_place_between(scene)["--to-file-pos"]
    running = scene.capture()
    before = saved(scene)

    outcome = scene.command("checkpoint", "rewind", "--to-file-pos", place, "--dry-run")

    assert outcome.code == 0
    assert f"from  {before.file}:{before.position}" in outcome.out
    assert f"to    {place}" in outcome.out
    scene.run("INSERT INTO test VALUES (3)")
    assert scene.wait_for(3) == [("write", (1,)), ("write", (2,)), ("write", (3,))]
    assert running.runs


def test_a_capture_that_runs_is_fenced_by_the_move(scene: Scene) -> None:
    """It would commit its own position over the new one."""
    place = captured_with_a_place_between(scene)["--to-file-pos"]
    running = scene.capture()
    assert scene.command("checkpoint", "rewind", "--to-file-pos", place).code == 0
    scene.run("INSERT INTO test VALUES (3)")
    assert running.end().code == 4
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,)), ("write", (2,)), ("write", (3,))]


def test_a_rewind_never_goes_forward(scene: Scene) -> None:
    """That would leave changes out; it has a command of its own."""
    captured_with_a_place_between(scene)
    scene.run("INSERT INTO test VALUES (3)")
    outcome = scene.command("checkpoint", "rewind", "--to-file-pos", scene.server.end())
    assert outcome.code == 2
    assert "checkpoint set" in outcome.complaint
    scene.caught_up()
    assert ("write", (3,)) in scene.changes()


@both
def test_a_checkpoint_set_to_latest_leaves_out_what_was_not_read(scene: Scene) -> None:
    """The way out of a lost position: accept the gap, and say so."""
    captured_with_a_place_between(scene)
    scene.run("INSERT INTO test VALUES (3)")
    assert scene.command("checkpoint", "set", "latest").code == 0
    scene.run("INSERT INTO test VALUES (4)")
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,)), ("write", (4,))]


def test_a_set_replaces_a_checkpoint_that_was_lost(scene: Scene) -> None:
    """Beginning anew in silence would leave a gap; the refusal names this command, and its records are the newest."""
    place = captured_with_a_place_between(scene)["--to-file-pos"]
    highest = history.actions(scene.reads())[-1].seq
    admin, lost = AdminClient({"bootstrap.servers": scene.kafka}), f"{scene.prefix}.checkpoints.db"
    admin.delete_topics([lost])[lost].result(30)
    until(lambda: lost not in admin.list_topics(timeout=30).topics, "the checkpoint topic is gone")

    refused = scene.once()
    assert refused.code == 3
    assert "meepo2-cdc checkpoint set" in refused.complaint

    assert scene.command("checkpoint", "set", place).code == 0
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,)), ("write", (2,))]
    assert history.actions(scene.reads())[-1].seq > highest


@pytest.mark.parametrize("place", ["nowhere.000001:4", "yesterday", "2026-01-31T12:00:00"])
def test_a_place_that_cannot_be_is_refused(scene: Scene, place: str) -> None:
    """A position that is guessed at leaves a gap nobody knows of."""
    scene.run(TABLE)
    scene.caught_up()
    assert scene.command("checkpoint", "set", place).code == 2
