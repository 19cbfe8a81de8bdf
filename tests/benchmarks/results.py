"""
What a run of the benchmarks has found.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.benchmarks.drain import Drain
from tests.benchmarks.growth import Growth
from tests.benchmarks.latency import Latency
from tests.benchmarks.limits import Limits
from tests.benchmarks.peer import Peer


@dataclass(slots=True)
class Results:
    """`drains` by data set and peer, `latencies` by peer and rate; `absent` and `failures` say why something lacks."""

    peers: list[Peer] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    bytes_a_row: dict[str, float] = field(default_factory=dict)
    drains: dict[tuple[str, str], list[Drain]] = field(default_factory=dict)
    latencies: dict[tuple[str, int], Latency] = field(default_factory=dict)
    limits: Limits | None = None
    growth: Growth | None = None
    absent: dict[str, str] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def median(self, data_set: str, peer: str, value: Callable[[Drain], float]) -> float | None:
        """Of a peer's runs over a data set; None when it has none, or did not bring every key every time."""
        runs = self.drains.get((data_set, peer), [])
        if not runs or not all(run.found.complete for run in runs):
            return None
        return statistics.median(map(value, runs))
