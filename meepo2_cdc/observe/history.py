"""
The last minutes of a few numbers, in memory.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

EVERY_SECONDS = 2.0
KEPT_SECONDS = 900.0
YOUNG_SECONDS = 180.0
_SHOWN = 180


class Point(NamedTuple):
    """A value and how long ago it was; NaN where it was not known."""

    seconds_ago: float
    value: float


class History:
    """Written by one thread, read by others: what is read is a copy."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=int(KEPT_SECONDS / EVERY_SECONDS))

    def add(self, now: float, sample: Mapping[str, float]) -> None:
        self._samples.append((now, sample))

    def span(self, now: float) -> float:
        """How long a time is worth showing: a young history would be a speck at the edge."""
        kept = list(self._samples)
        return YOUNG_SECONDS if not kept or now - kept[0][0] < YOUNG_SECONDS else KEPT_SECONDS

    def levels(self, key: str, now: float) -> list[Point]:
        """Each value as it was, oldest first; of several that are shown as one, the highest."""
        kept = list(self._samples)
        return _fewer([Point(now - at, sample.get(key, math.nan)) for at, sample in kept])

    def rates(self, key: str, now: float) -> list[Point]:
        """The growth of a counter by the second; none where it was set back."""
        kept = list(self._samples)
        points = []
        for (before, old), (at, new) in pairwise(kept):
            grown = new.get(key, math.nan) - old.get(key, math.nan)
            points.append(Point(now - at, grown / (at - before) if grown >= 0 and at > before else math.nan))
        return _fewer(points)


def _fewer(points: list[Point]) -> list[Point]:
    """As many as a chart can show; peaks stay."""
    width = -(-len(points) // _SHOWN)
    if width <= 1:
        return points
    groups = [points[at : at + width] for at in range(0, len(points), width)]
    return [Point(group[-1].seconds_ago, _highest([one.value for one in group])) for group in groups]


def _highest(values: list[float]) -> float:
    return max((one for one in values if not math.isnan(one)), default=math.nan)


class Meter:
    """How fast a counter grows now, by the samples of the last seconds."""

    def __init__(self, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque(maxlen=max(2, int(seconds / EVERY_SECONDS) + 1))

    def add(self, count: float) -> None:
        self._seen.append((self._clock(), count))

    @property
    def a_second(self) -> float:
        """NaN before the second sample."""
        seen = list(self._seen)
        if len(seen) < 2 or seen[-1][0] <= seen[0][0]:
            return math.nan
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])
