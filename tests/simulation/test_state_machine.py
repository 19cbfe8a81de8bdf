"""
The same world, where hypothesis and not the seed decides what befalls it: what fails is made as short as it can be.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.audit import Violation
from tests.simulation.capture import installed
from tests.simulation.faults import QUIET
from tests.simulation.world import SimWorld


class World(RuleBasedStateMachine):
    """Within the life of a process there is only work; all else is between lives."""

    world: SimWorld

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()

    def _do(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Violation as violation:
            raise AssertionError(str(violation)) from violation

    @initialize(seed=st.integers(0, 1 << 20), source=st.sampled_from(("mysql", "files", "mariadb")))
    def begin(self, seed: int, source: str) -> None:
        self.world = SimWorld(seed, favoured=frozenset((source, QUIET)))
        self._stack.enter_context(installed(self.world))

    @rule(effects=st.integers(1, 120))
    def live(self, effects: int) -> None:
        self._do(lambda: self.world.live(effects))

    @rule(count=st.integers(1, 5))
    def work(self, count: int) -> None:
        for _ in range(count):
            self.world.faults.work(None)

    @rule(
        name=st.sampled_from(
            ("flush", "restart_server", "purge", "fail_over", "lose_tail", "damage", "heal", "intrude", "step_clock")
        )
    )
    def befall(self, name: str) -> None:
        self._do(lambda: getattr(self.world.faults, name)(None))

    @rule(seconds=st.sampled_from((0.5, 11, 100)))
    def pass_time(self, seconds: float) -> None:
        self._do(lambda: self.world.pass_time(seconds))

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self._do(self.world.end)
        finally:
            self._stack.close()


World.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestWorld = World.TestCase
