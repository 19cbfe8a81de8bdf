"""
A trial: a capture under load, what befalls it, and the judgement on the whole history.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.command import Running
from tests.faults import workload
from tests.faults.comparison import Comparison, compare
from tests.faults.watching import wait_for_progress
from tests.scenes import Scene

SPLIT = {"MEEPO2_CAPTURE_COMMIT_ROWS": "1000"}
JUDGED: list[tuple[str, Comparison]] = []
"""Which test judged what, in this run."""


@contextmanager
def loaded(scene: Scene, seed: int = 1, *, only_rows: bool = False) -> Iterator[workload.Load]:
    """A load on the source while the block runs."""
    load = workload.Load(scene, seed, persistent=True, only_rows=only_rows)
    load.start()
    try:
        yield load
    finally:
        load.stop()


@contextmanager
def survived(scene: Scene, seed: int = 1, *, only_rows: bool = False, **settings: Any) -> Iterator[Running]:
    """
    The capture that runs under load while the block does its harm to it.

    It must live, go on by itself, end in order, and leave the history of the source, whole.
    """
    workload.prepare(scene)
    capture = scene.capture(**settings)
    with loaded(scene, seed, only_rows=only_rows):
        wait_for_progress(scene)
        yield capture
        wait_for_progress(scene)
    outcome = capture.stop()
    assert outcome.code == 0, outcome.err
    judge(scene)


@contextmanager
def succeeded(scene: Scene, seed: int = 1) -> Iterator[None]:
    """A load while the block starts captures and sees them die; afterwards one more, and the judgement."""
    workload.prepare(scene)
    with loaded(scene, seed):
        yield
    judge(scene)


def judge(scene: Scene, **settings: str) -> None:
    """The rest is captured, and all of it compared."""
    scene.caught_up(**settings)
    verdict(compare(scene))


def verdict(found: Comparison) -> None:
    """For the table of `make faults`, and for the test."""
    JUDGED.append((os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].partition(" ")[0], found))
    assert found.wrong == [], "\n".join(found.wrong)
