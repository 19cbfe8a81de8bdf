"""
How far a snapshot is, on one line of a terminal that is written anew; elsewhere a line from time to time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from meepo2_cdc.records.snapshot import Snapshot

_TERMINAL_SECONDS, _ELSEWHERE_SECONDS = 0.2, 10.0
_RECENT_SECONDS = 30.0


class Line:
    """The speed is that of the last half minute."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._is_terminal = out.isatty()
        self._shown_at: float | None = None
        self._recent: deque[tuple[float, int]] = deque()
        self._width = 0

    def show(self, one: Snapshot) -> None:
        now = self._clock()
        self._recent.append((now, one.rows_so_far))
        while now - self._recent[0][0] > _RECENT_SECONDS and len(self._recent) > 2:
            self._recent.popleft()
        pause = _TERMINAL_SECONDS if self._is_terminal else _ELSEWHERE_SECONDS
        if self._shown_at is None or now - self._shown_at >= pause or one.is_over:
            self._shown_at = now
            self._write(told(one, self._speed()))

    def end(self) -> None:
        if self._is_terminal and self._shown_at is not None:
            self._out.write("\n")

    def _speed(self) -> float | None:
        (began, first), (now, last) = self._recent[0], self._recent[-1]
        return (last - first) / (now - began) if now > began else None

    def _write(self, text: str) -> None:
        if self._is_terminal:
            self._out.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._out.write(text + "\n")
        self._out.flush()


def told(one: Snapshot, speed: float | None) -> str:
    """`shop.orders: 1200000 of about 3000000 rows, 310000 rows/s, 6 s left, 2 tables after it`"""
    current = one.current
    if current is None:
        return f"{one.rows} rows of {one.tables_ended} tables, {len(one.waiting)} tables to go"
    parts = [f"{current.name}: {current.rows}"]
    if current.rows_expected:
        parts[0] += f" of about {max(current.rows_expected, current.rows)}"
    parts[0] += " rows"
    if one.paused:
        parts.append("paused")
    elif speed:
        parts.append(f"{speed:.0f} rows/s")
        if current.rows_expected:
            parts.append(f"{duration(max(0, current.rows_expected - current.rows) / speed)} left")
    if one.waiting:
        parts.append(f"{len(one.waiting)} tables after it")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Two units at most."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
