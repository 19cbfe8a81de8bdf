"""
kill -9 at random moments, and in the middle of what is largest.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
import uuid
from contextlib import closing

import pytest

from tests.command import Running
from tests.faults import workload
from tests.faults.trial import SPLIT, judge
from tests.faults.watching import checkpoints
from tests.scenes import Scene, Server

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0"))
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "1"))
KILLS = 10 if SECONDS else 5
LONGEST_LIFE_SECONDS = 2.2


@pytest.mark.parametrize("flavor", ["own_mysql", "own_mariadb"])
def test_the_history_is_exact_after_kills_at_any_moment(
    flavor: str, kafka: str, request: pytest.FixtureRequest
) -> None:
    """
    A crash that loses a change, or tells it twice, is believed by every consumer for ever.

    One round of kills, and further ones until MEEPO2_FAULT_SECONDS are over.
    """
    server: Server = request.getfixturevalue(flavor)
    end = time.monotonic() + SECONDS
    seed = SEED
    while seed == SEED or time.monotonic() < end:
        print(f"MEEPO2_FAULT_SEED={seed}")
        server.run("FLUSH BINARY LOGS", f"PURGE BINARY LOGS TO '{server.end().split(':')[0]}'")
        with closing(Scene(server, kafka, f"f{uuid.uuid4().hex[:12]}")) as scene:
            _round(scene, seed)
        seed += 1


def _round(scene: Scene, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    workload.prepare(scene)
    load = workload.Load(scene, seed)
    load.start()
    try:
        _kill_at_random(scene, dice)
        _kill_inside_a_large_transaction(scene, dice)
    finally:
        load.stop()
    judge(scene, **SPLIT)


def _kill_at_random(scene: Scene, dice: random.Random) -> None:
    """Each life is as long as the dice say, from before the first connection to well into the stream."""
    for number in range(KILLS):
        if number == KILLS // 2:
            scene.run("ALTER TABLE number ADD COLUMN extra INT")
        _live_and_die(scene.launch(**SPLIT), dice.uniform(0, LONGEST_LIFE_SECONDS))


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
