"""
A mixed load on a source while what replicates it into Redis is killed, and Redis too, at moments out of a seed.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from itertools import count
from time import monotonic

from tests.command import Running
from tests.faults import workload
from tests.scenes import Scene
from tests.services import native

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0"))
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "1"))
LIVES = 3
LONGEST_LIFE_SECONDS = 2.5
# The successor of a killed member has its partitions at once, instead of when it is missed; and no others, so that the
# last one, which is to read the topics of new tables too, must not be such a successor.
SUCCESSOR = {"MEEPO2_KAFKA_GROUP_INSTANCE_ID": "the-one"}
QUICK = {
    "MEEPO2_KAFKA_SESSION_TIMEOUT_MS": "6000",
    "MEEPO2_RUN_RETRY_MAX_SECONDS": "0.5",
}


def kill_at_random(
    scene: Scene,
    server: native.PrivateRedis | native.PrivatePostgres,
    launch: Callable[[], Running],
    seed: int,
    seconds: float,
) -> None:
    """Some lives of the connector, and further ones until `seconds` are over; then all changes are in the topics."""
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    workload.prepare(scene)
    capture = scene.capture()
    load = workload.Load(scene, seed)
    load.start()
    try:
        end = monotonic() + seconds
        for life in count():
            if life >= LIVES and monotonic() > end:
                break
            _live_and_die(launch(), server, dice)
    finally:
        load.stop()
    assert capture.stop().code == 0, capture.said
    scene.caught_up()


def _live_and_die(
    connecting: Running, server: native.PrivateRedis | native.PrivatePostgres, dice: random.Random
) -> None:
    """One or both, in any order."""
    kills = dice.choice([[connecting.kill], [server.kill], [server.kill, connecting.kill]])
    for kill in kills:
        _while_it_lives(connecting, dice.uniform(0, LONGEST_LIFE_SECONDS))
        kill()
    server.start()
    if connecting.runs:
        _while_it_lives(connecting, dice.uniform(0, LONGEST_LIFE_SECONDS))
        connecting.kill()


def _while_it_lives(connecting: Running, seconds: float) -> None:
    try:
        code = connecting.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise AssertionError(f"the connector ended by itself, with {code}:\n{connecting.said}")
