"""
What a service tells of itself while it runs: written by its own loop, read by the threads that serve its pages.

Plain attributes without a lock: the loop moves ten thousand times a second, and who reads wants to know it to a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

State = Literal["starting", "standby", "running", "waiting", "ended"]
"""
starting  it connects, checks, looks for its place: every step has its own deadline or is tried for as long as it takes
standby   another instance has the lock
running   it reads
waiting   a consumer for which there is no topic yet
"""


class Vitals:
    """`moved_at` is when the loop last came by, by `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.state: State = "starting"
        self.moved_at = clock()

    def enter(self, state: State) -> None:
        self.state = state
        self.moved_at = self.clock()

    def moved(self) -> None:
        self.moved_at = self.clock()


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes answer from."""

    state: State
    still_seconds: float
    """Since the main loop moved."""
    lacks: tuple[str, ...] = ()
    """Why it does not do its work now; empty when it does, and for one that waits for its turn."""

    @property
    def ready(self) -> bool:
        return not self.lacks

    def lives(self, longest_seconds: float) -> bool:
        """Not judged while it starts: to look for a place in a large log may take long, and hides no dead loop."""
        return self.state == "starting" or self.still_seconds <= longest_seconds


class Watched(Protocol):
    """A service that is asked how it is, by other threads than its own."""

    def health(self) -> Health: ...
