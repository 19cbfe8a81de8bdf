"""
kill -9 at random moments, and in the middle of what is largest.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time

from tests.command import Running
from tests.faults import workload
from tests.faults.comparison import differences
from tests.faults.watching import checkpoints
from tests.scenes import Scene, both_own

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "12"))
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
KILLS = 10
LONGEST_LIFE_SECONDS = 2.2
SPLIT = {"MEEPO2_CAPTURE_COMMIT_ROWS": "1000"}


@both_own
def test_the_history_is_exact_after_kills_at_any_moment(scene: Scene) -> None:
    """A crash that loses a change, or tells it twice, is believed by every consumer for ever."""
    print(f"MEEPO2_FAULT_SEED={SEED}")
    dice = random.Random(SEED)  # noqa: S311 - moments, not secrets
    workload.prepare(scene)
    load = workload.Load(scene, SEED)
    load.start()
    try:
        kills = _kill_at_random(scene, dice)
        _kill_inside_a_large_transaction(scene, dice)
    finally:
        load.stop()
    scene.caught_up(**SPLIT)
    wrong = differences(scene)
    assert wrong == [], f"seed {SEED}, {kills} kills, {load.transactions} transactions"


def _kill_at_random(scene: Scene, dice: random.Random) -> int:
    """Each life is as long as the dice say, from before the first connection to well into the stream."""
    end = time.monotonic() + SECONDS
    kills = 0
    while kills < KILLS or time.monotonic() < end:
        if kills == KILLS // 2:
            scene.run("ALTER TABLE number ADD COLUMN extra INT")
        _live_and_die(scene.launch(**SPLIT), dice.uniform(0, LONGEST_LIFE_SECONDS))
        kills += 1
    return kills


def _live_and_die(capture: Running, seconds: float) -> None:
    try:
        code = capture.process.wait(seconds)
    except subprocess.TimeoutExpired:
        capture.kill()
    else:
        raise AssertionError(f"the capture ended by itself, with {code}:\n{capture.said}")


def _kill_inside_a_large_transaction(scene: Scene, dice: random.Random) -> None:
    """Until the last thing committed is a part of it."""
    for first in range(0, 10 * workload.BULK_ROWS, workload.BULK_ROWS):
        capture = scene.capture(**SPLIT)
        least = dice.randrange(workload.BULK_ROWS // 2)
        with checkpoints(scene) as wait:
            inserting = threading.Thread(target=workload.insert_bulk, args=(scene, first))
            inserting.start()
            wait(lambda one, least=least: one.rows_done > least, f"with {least} rows done")
            capture.kill()
            inserting.join()
        checkpoint = scene.checkpoint()
        assert checkpoint is not None
        if checkpoint.rows_done:
            return
    raise AssertionError("ten large transactions, and none was killed inside")
