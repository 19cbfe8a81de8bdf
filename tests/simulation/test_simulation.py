"""
Thousands of worlds, each from its seed.

A failing one lives again, and tells what happened in it, by `python -m tests.simulation SEED`.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation.world import SimWorld

SEEDS = int(os.environ.get("MEEPO2_SIMULATION_SEEDS", "1000"))
FIRST_SEED = int(os.environ.get("MEEPO2_SIMULATION_FIRST_SEED", "0"))
BLOCK = 100

FOUND_FAULTS_ONCE = (2, 22, 30, 31, 33, 77, 91, 94, 101, 105, 134, 500, 684, 1116, 2099, 3004, 3254, 4651)
"""Each stood for a fault in the product, or in the simulation, when it was run first."""


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + SEEDS, BLOCK))
def test_nothing_is_lost_repeated_or_out_of_order_whatever_happens(first: int) -> None:
    """Every order of crashes, takeovers and lost servers that nobody thought of happens to somebody."""
    for seed in range(first, min(first + BLOCK, FIRST_SEED + SEEDS)):
        SimWorld(seed).run()


@pytest.mark.parametrize("seed", FOUND_FAULTS_ONCE)
def test_what_found_a_fault_once_finds_it_again(seed: int) -> None:
    """A fault that comes back is found on the first day, not on the thousandth seed."""
    SimWorld(seed).run()


def test_a_seed_is_lived_again_exactly() -> None:
    """A failure that cannot be had again cannot be mended."""
    traces = []
    for _ in range(2):
        world = SimWorld(7, tracing=True)
        world.run()
        traces.append(world.trace)
    assert traces[0] == traces[1]
