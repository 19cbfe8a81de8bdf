"""
Two captures of one source at once.
"""

from __future__ import annotations

import signal
import time

from tests.faults import workload
from tests.faults.owned import wait_out
from tests.faults.trial import judge
from tests.faults.watching import checkpoints
from tests.scenes import Scene, both_own


@both_own
def test_a_capture_that_was_frozen_while_another_took_over_ends_and_harms_nothing(scene: Scene) -> None:
    """A machine that stands still for a minute must not, when it goes on, write what its successor has written."""
    workload.prepare(scene)
    load = workload.Load(scene, seed=1)
    load.start()
    try:
        first = scene.capture()
        with checkpoints(scene) as wait:
            wait(lambda one: one.seq > 0, "of the first")
            first.send(signal.SIGSTOP)
            frozen = time.monotonic()
            second = scene.capture()
            name = f":{second.pid}"
            wait(lambda one: one.written_by.endswith(name), "of the second")
            wait_out(frozen)
            first.send(signal.SIGCONT)
            outcome = first.end()
    finally:
        load.stop()
    assert outcome.code == 4, outcome.err
    assert "another" in outcome.complaint
    second.stop()
    judge(scene)
