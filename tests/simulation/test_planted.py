"""
The audit must be able to fail: each fault that is planted into the capture is found.
"""

from __future__ import annotations

import pytest

from tests.simulation.planted import PLANTED, fault
from tests.simulation.world import CRASHED, SimWorld

SEEDS = 250
"""Each was found within 32 when it was planted."""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    """A simulation that finds nothing in a wrong program says nothing of a right one."""
    found = _first_violation(name)
    assert found is not None, f"{name} was not found in {SEEDS} worlds"
    assert CRASHED not in found, f"{name} no longer fits the product: {found}"
    print(f"{name}: {found}")


def _first_violation(name: str) -> str | None:
    with fault(name) as favoured:
        for seed in range(SEEDS):
            try:
                SimWorld(seed, favoured=favoured).run()
            except AssertionError as violation:
                return str(violation)
    return None
