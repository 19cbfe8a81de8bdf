"""
The comparison must be able to fail: each fault that is planted into the capture is found.
"""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from tests.command import COMMAND, Running, until
from tests.faults import workload
from tests.faults.comparison import differences
from tests.faults.watching import checkpoints
from tests.kafka import Topics
from tests.proxy import Proxy
from tests.scenes import Scene

RIGHT = (str(COMMAND),)
SPLIT = {"MEEPO2_CAPTURE_COMMIT_ROWS": "1000"}
own = pytest.mark.parametrize("owned", ["mysql"], indirect=True)


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
    # by default the capture itself stops at rows outside of a transaction
    outcome = scene.launch("--once", program=program, MEEPO2_CAPTURE_ON_UNREADABLE="skip").end()
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


@own
def test_a_reconnect_from_where_it_was_constructed_is_found(scene: Scene) -> None:
    """Everything since the start is there twice."""
    workload.prepare(scene)
    capture = _started(scene, planted("reconnects_from_where_it_was_constructed"))
    _insert(scene, range(10))
    scene.wait_for(10)
    _lose_the_connection(scene, capture)
    _insert(scene, range(10, 11))
    scene.wait_for(21)
    _assert_found(differences(scene), ("planted",), "word: 10 too many")


@own
def test_rows_forgotten_at_a_reconnect_are_found(scene: Scene, source_link: Proxy) -> None:
    """What was published of the transaction in progress is there twice."""
    workload.prepare(scene)
    capture = _started(scene, planted("rows_forgotten_at_a_reconnect"))
    with checkpoints(scene) as wait:
        with source_link.having(bytes_per_second=200_000.0):
            workload.insert_bulk(scene, 0)
            wait(lambda one: one.rows_done > 0, "inside the transaction")
            source_link.cut()
        capture.wait_for("The connection to the source was lost")
        wait(lambda one: one.rows_done == 0, "behind the transaction")
    _assert_found(differences(scene), ("planted",), "bulk: ")


@own
def test_a_position_inside_saved_as_the_end_is_found(scene: Scene) -> None:
    """What was not published of the transaction in progress is lost."""
    workload.prepare(scene)
    capture = _started(scene, planted("inside_saved_as_the_end"))
    with checkpoints(scene) as wait:
        inserting = threading.Thread(target=workload.insert_bulk, args=(scene, 0))
        inserting.start()
        wait(lambda one: one.seq > 0, "inside the transaction")
        capture.kill()
        inserting.join()
    scene.caught_up()
    _assert_found(differences(scene), ("planted",), "bulk: ")


@own
def test_a_checkpoint_in_a_transaction_of_its_own_is_found(scene: Scene) -> None:
    """What was published before the crash, and has no checkpoint, is there twice."""
    workload.prepare(scene)
    capture = _started(scene, planted("checkpoint_in_another_transaction"))
    for n in range(3):
        _insert(scene, range(n, n + 1))
        scene.wait_for(n + 1)
    assert capture.end().code == -signal.SIGKILL
    scene.caught_up()
    _assert_found(differences(scene), ("planted",), "word: 1 too many")


@own
def test_a_writer_that_goes_on_after_it_was_fenced_is_found(scene: Scene) -> None:
    """Two captures write the same changes, each with a right of its own."""
    workload.prepare(scene)
    first = _started(scene, planted("goes_on_after_fencing"))
    first.send(signal.SIGSTOP)
    _insert(scene, range(10))
    second = scene.capture(MEEPO2_SOURCE_SERVER_ID="4711")
    scene.wait_for(10)
    second.kill()
    first.send(signal.SIGCONT)
    scene.wait_for(20)
    _assert_found(differences(scene), ("planted",), "word: 10 too many")


@own
def test_a_checkpoint_read_to_the_end_of_the_partition_is_found(scene: Scene) -> None:
    """A neighbour's open transaction hides the newest checkpoints; what follows the last one seen is there twice."""
    workload.prepare(scene)
    _insert(scene, range(1))
    scene.caught_up()
    topic = f"{scene.prefix}.checkpoints.db"
    neighbours = Topics(scene.kafka)
    with neighbours.producer() as producer:
        producer.begin_transaction()
        producer.produce(topic, b"?", b"a neighbour", partition=0)
        producer.flush(30)
        capture = _started(scene, planted("reads_to_the_end_of_the_partition"))
        _insert(scene, range(1, 11))
        scene.wait_for(11)
        capture.kill()
        outcome = scene.launch("--once", program=planted("reads_to_the_end_of_the_partition")).end()
        assert outcome.code == 0, outcome.err
        producer.abort_transaction(30)
    _assert_found(differences(scene), ("planted",), "word: 10 too many")


def _insert(scene: Scene, keys: range) -> None:
    scene.run(*(f"INSERT INTO word VALUES ('w {n}', 1)" for n in keys))


def _lose_the_connection(scene: Scene, capture: Running) -> None:
    for dump in until(lambda: scene.server.dumps_of("root"), "a dump"):
        scene.server.run(f"KILL {dump}")
    capture.wait_for("The connection to the source was lost")


def _started(scene: Scene, program: tuple[str, ...]) -> Running:
    capture = scene.launch(program=program, **SPLIT)
    capture.wait_for("Capture started")
    return capture


def _assert_found(wrong: list[str], program: tuple[str, ...], what: str) -> None:
    if program == RIGHT:
        assert wrong == []
    else:
        assert any(line.startswith(what) for line in wrong), wrong
