"""
Several instances of one capture: one reads, the others wait.
"""

from __future__ import annotations

import signal

from tests.scenes import STARTED, Scene

TABLE = "CREATE TABLE test (id INT PRIMARY KEY)"
HELD, WAITING = "The lock is held", "Standing by"


def test_a_standby_takes_over_from_a_killed_instance(scene: Scene) -> None:
    """Without a second instance a dead machine stops every consumer until somebody wakes up."""
    scene.run(TABLE)
    first = scene.capture("--standby")
    second = scene.launch("--standby")
    second.wait_for(WAITING)
    scene.run("INSERT INTO test VALUES (1)")
    scene.wait_for(1)

    first.kill()
    scene.run("INSERT INTO test VALUES (2)")

    second.wait_for(STARTED)
    assert scene.wait_for(2) == [("write", (1,)), ("write", (2,))]


def test_a_newcomer_takes_nothing_away_from_the_instance_that_captures(scene: Scene) -> None:
    """Two instances that take the source from each other in turn do nothing else."""
    scene.run(TABLE)
    first = scene.capture("--standby")
    scene.launch("--standby").wait_for(WAITING)
    scene.launch("--standby").wait_for(WAITING)
    scene.run("INSERT INTO test VALUES (1)")
    scene.wait_for(1)
    assert first.runs
    assert first.said.count(HELD) == 1


def test_an_instance_that_ends_hands_over_and_one_that_waits_ends_at_once(scene: Scene) -> None:
    """An upgrade stops one instance after the other; each stop must be short and clean."""
    scene.run(TABLE)
    first = scene.capture("--standby")
    second = scene.launch("--standby")
    second.wait_for(WAITING)
    third = scene.launch("--standby")
    third.wait_for(WAITING)

    assert third.stop().code == 0
    assert first.stop().code == 0
    second.wait_for(STARTED)
    scene.run("INSERT INTO test VALUES (1)")
    assert scene.wait_for(1) == [("write", (1,))]


def test_a_frozen_instance_that_wakes_up_behind_its_successor_writes_nothing(scene: Scene) -> None:
    """It believes that it still captures; whatever it committed now would be there twice."""
    scene.run(TABLE)
    first = scene.capture("--standby")
    second = scene.launch("--standby")
    second.wait_for(WAITING)

    first.send(signal.SIGSTOP)
    second.wait_for(STARTED)
    scene.run("INSERT INTO test VALUES (1)")
    scene.wait_for(1)
    first.send(signal.SIGCONT)

    assert first.end().code == 4
    scene.run("INSERT INTO test VALUES (2)")
    assert scene.wait_for(2) == [("write", (1,)), ("write", (2,))]
