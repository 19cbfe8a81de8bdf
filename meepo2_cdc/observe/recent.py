"""
The last warnings and errors of the log, for the status page.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_KEPT = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One event; `facts` are its fields as text."""

    at: str
    level: str
    event: str
    facts: str


class Recent:
    """Written by every thread that logs."""

    def __init__(self, most: int = _KEPT) -> None:
        self._lines: deque[Line] = deque(maxlen=most)

    def add(self, line: Line) -> None:
        self._lines.append(line)

    def lines(self) -> Sequence[Line]:
        """Newest first."""
        return list(reversed(list(self._lines)))


RECENT = Recent()
