"""
The comparison must be able to fail: each fault that is planted into the capture is found.
"""

from __future__ import annotations

import sys
import threading

import pytest

from tests.command import COMMAND, Running
from tests.faults import workload
from tests.faults.comparison import differences
from tests.faults.watching import checkpoints
from tests.scenes import Scene

RIGHT = (str(COMMAND),)
SPLIT = {"MEEPO2_CAPTURE_COMMIT_ROWS": "1000"}
own = pytest.mark.parametrize("scene", ["own_mysql"], indirect=True)


def planted(fault: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.faults.planted", fault)


@own
@pytest.mark.parametrize("program", [RIGHT, planted("savepoint_ends_the_transaction")], ids=["right", "planted"])
def test_a_savepoint_taken_for_an_end_is_found(scene: Scene, program: tuple[str, ...]) -> None:
    """Everything behind it in its transaction is lost."""
    workload.prepare(scene)
    for first in range(20):
        scene.run(
            "BEGIN", f"INSERT INTO word VALUES ('before {first}', 1)", "SAVEPOINT a",
            f"INSERT INTO word VALUES ('behind {first}', 1)", "COMMIT",
        )  # fmt: skip
    outcome = scene.launch("--once", program=program).end()
    assert outcome.code == 0, outcome.err
    _assert_found(differences(scene), program, "word: 20 lost")


@own
@pytest.mark.parametrize("program", [RIGHT, planted("rows_done_not_stored")], ids=["right", "planted"])
def test_a_checkpoint_without_its_row_count_is_found(scene: Scene, program: tuple[str, ...]) -> None:
    """Everything before the kill in its transaction is there twice."""
    workload.prepare(scene)
    capture = _started(scene, program)
    base = scene.checkpoint()
    assert base is not None
    with checkpoints(scene) as wait:
        inserting = threading.Thread(target=workload.insert_bulk, args=(scene, 0))
        inserting.start()
        wait(lambda one: one.seq > base.seq, "inside the transaction")
        capture.kill()
        inserting.join()
    middle = scene.checkpoint()
    assert middle is not None
    assert base.seq < middle.seq < base.seq + workload.BULK_ROWS, "it was killed too late to show anything"
    outcome = scene.launch("--once", program=program, **SPLIT).end()
    assert outcome.code == 0, outcome.err
    _assert_found(differences(scene), program, f"bulk: {middle.seq - base.seq} too many")


@own
@pytest.mark.parametrize("fault", ["init_before_checkpoint", "checkpoint_before_init"], ids=["right", "planted"])
def test_a_checkpoint_read_before_the_predecessor_is_fenced_is_found(scene: Scene, fault: str) -> None:
    """What the predecessor committed in between is there twice."""
    workload.prepare(scene)
    load = workload.Load(scene, seed=2)
    load.start()
    try:
        first = scene.capture()
        second = scene.launch(program=planted(fault))
        second.wait_for("Capture started")
        outcome = first.end()
        assert outcome.code == 4, outcome.err
    finally:
        load.stop()
    second.stop()
    scene.caught_up()
    _assert_found(differences(scene), RIGHT if fault == "init_before_checkpoint" else (fault,), "seq: ")


def _started(scene: Scene, program: tuple[str, ...]) -> Running:
    capture = scene.launch(program=program, **SPLIT)
    capture.wait_for("Capture started")
    return capture


def _assert_found(wrong: list[str], program: tuple[str, ...], what: str) -> None:
    if program == RIGHT:
        assert wrong == []
    else:
        assert any(line.startswith(what) for line in wrong), wrong
