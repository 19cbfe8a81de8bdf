"""
The capture's own process: asked to end, killed at chosen steps, doubled, frozen, without a place for its log.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from tests import history
from tests.command import COMMAND, environment, until
from tests.faults import workload
from tests.faults.crashing import CRASHES
from tests.faults.owned import in_turn
from tests.faults.trial import SPLIT, judge, loaded, succeeded
from tests.faults.watching import checkpoints, wait_for_progress
from tests.scenes import STARTED, Scene

LARGE_ROWS = 15_000


def crashing(point: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.faults.crashing", point)


@in_turn("mysql")
def test_an_orderly_end_under_load(scene: Scene) -> None:
    """Every deployment is one: it must commit what it has read, and not one record without its checkpoint."""
    with succeeded(scene):
        for number in (signal.SIGTERM, signal.SIGINT):
            capture = scene.capture()
            wait_for_progress(scene)
            outcome = capture.stop(number, seconds=10)
            assert outcome.code == 0, outcome.err
            checkpoint = scene.checkpoint()
            assert checkpoint is not None
            assert checkpoint.seq == history.actions(scene.reads())[-1].seq


@in_turn("mariadb")
def test_a_crash_at_each_step(scene: Scene) -> None:
    """Whatever is written in two steps is written by half at some crash."""
    with succeeded(scene):
        for point in CRASHES:
            capture = scene.launch("--once", program=crashing(point), **SPLIT)
            assert capture.end().code == -signal.SIGKILL, f"{point} was not reached:\n{capture.said}"


@in_turn("mysql")
def test_a_crash_in_a_large_transaction(scene: Scene) -> None:
    """Its first rows are published, its last are not, and the log can only be read from its beginning."""
    workload.prepare(scene)
    scene.caught_up()
    workload.insert_bulk(scene, 0, LARGE_ROWS)
    done = 0
    for point in ("behind_commit", "in_commit", "between_produce_and_commit"):
        capture = scene.launch(program=crashing(point), **SPLIT)
        assert capture.end().code == -signal.SIGKILL
        checkpoint = scene.checkpoint()
        assert checkpoint is not None
        assert done < checkpoint.rows_done < LARGE_ROWS
        done = checkpoint.rows_done
    judge(scene)


def test_two_instances_from_the_start(scene: Scene) -> None:
    """
    An operator starts it twice: one of them must end, and nothing may be there twice.

    The one that was fenced may ask for the log last, which ends the other's dump: then both end, and are started again.
    """
    workload.prepare(scene)
    with loaded(scene):
        both = [scene.launch(), scene.launch()]
        until(lambda: not all(one.runs for one in both), "the end of one of them")
        ended, other = sorted(both, key=lambda one: one.runs)
        assert ended.end().code == 4, ended.said
        other.wait_for(STARTED)
        before = scene.checkpoint()
        until(lambda: not other.runs or scene.checkpoint() != before, "it goes on, or ends too")
        if not other.runs:
            assert other.end().code == 4, other.said
            other = scene.capture()
        wait_for_progress(scene)
    assert other.stop().code == 0
    judge(scene)


def test_a_capture_that_was_paused_until_its_transaction_was_aborted(scene: Scene, kafka: str) -> None:
    """A suspended machine: the broker ended the transaction, and what it held must be written by the next start."""
    with succeeded(scene):
        scene.caught_up()
        capture = scene.launch(program=crashing("frozen_in_a_transaction"))
        until(lambda: _is_stopped(capture.pid), "it froze itself")
        until(lambda: not _has_open_transactions(kafka, scene.prefix), "the broker aborted the transaction")
        capture.send(signal.SIGCONT)
        outcome = capture.end()
        assert outcome.code == 1, outcome.err
        assert "a transaction was open for" in outcome.complaint
        assert "this process was paused" in outcome.complaint


def test_a_capture_that_wakes_up_in_a_commit_leaves_its_successor_alone(scene: Scene) -> None:
    """It would fence it, only to see then that it is itself the one that was overtaken; and both would be gone."""
    workload.prepare(scene)
    first = scene.launch(program=crashing("frozen_in_a_slow_commit"))
    with loaded(scene):
        until(lambda: _is_stopped(first.pid), "it froze itself")
        second = scene.capture()
        wait_for_progress(scene)
        first.send(signal.SIGCONT)
        outcome = first.end()
        assert outcome.code == 4, outcome.err
        wait_for_progress(scene)
    assert second.stop().code == 0, second.said
    judge(scene)


def test_a_start_that_is_overtaken_says_so(scene: Scene) -> None:
    """The other one's records are no lost position: an operator who is told to move the checkpoint would do harm."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    first = scene.launch(program=crashing("frozen_before_it_looks_for_records"))
    until(lambda: _is_stopped(first.pid), "it froze itself")
    second = scene.capture()
    scene.run("INSERT INTO test VALUES (1)")
    scene.wait_for(1)
    first.send(signal.SIGCONT)
    outcome = first.end()
    assert outcome.code == 4, outcome.err
    assert second.stop().code == 0, second.said


def test_a_clock_that_steps_changes_nothing(scene: Scene) -> None:
    """Numbers that were taken from the clock would go back with it, and consumers would drop new records as old."""
    workload.prepare(scene)
    with loaded(scene):
        for _ in range(2):
            capture = scene.launch(program=crashing("clock_that_steps"))
            capture.wait_for(STARTED)
            with checkpoints(scene) as wait:
                before = wait(lambda _: True, "of it").seq
                wait(lambda one, before=before: one.seq > before, "behind that")
            assert capture.stop().code == 0, capture.said
    judge(scene)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def _has_open_transactions(kafka: str, prefix: str) -> bool:
    """Under read_committed a partition ends where its first open transaction begins; each has a checkpoint."""
    partitions = [(topic, number) for topic in history.data_topics(kafka, prefix) for number in range(4)]
    ends = []
    for isolation in ("read_committed", "read_uncommitted"):
        asking = history.consumer(kafka, **{"isolation.level": isolation})
        ends.append([
            asking.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
            for topic, number in [*partitions, (f"{prefix}.checkpoints.db", 0)]
        ])  # fmt: skip
        asking.close()
    return ends[0] != ends[1]


@pytest.mark.parametrize("place", ["a closed pipe", "a full disk"])
def test_a_log_that_nobody_takes_stops_nothing(scene: Scene, place: str) -> None:
    """A full disk or a dead log collector must cost log lines, not records."""
    workload.prepare(scene)
    stderr = _closed_pipe() if place == "a closed pipe" else os.open("/dev/full", os.O_WRONLY)
    capture = subprocess.Popen([COMMAND, "capture"], env=environment(scene.settings), stdout=stderr, stderr=stderr)
    os.close(stderr)
    try:
        with loaded(scene):
            until(lambda: scene.checkpoint() is not None or capture.poll() is not None, "the first checkpoint")
            assert capture.poll() is None, "it ended when it could not log"
            wait_for_progress(scene)
        capture.terminate()
        assert capture.wait(30) == 0
    finally:
        capture.kill()
    judge(scene)


def _closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing
