"""
What a process and its descendants have used, from /proc.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOK_SECONDS = 0.2


class ProcessTree:
    """
    CPU seconds and resident memory of a process with all below it.

    Descendants that have ended are counted in whoever waited for them.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._members = [pid]
        self._looked = 0.0
        self.peak_bytes = 0

    def cpu_seconds(self) -> float:
        self._look()
        return sum(map(_cpu_ticks, self._members)) / _TICK

    def note_memory(self) -> None:
        """Called often enough, it makes `peak_bytes` the peak of the sum."""
        self._look()
        self.peak_bytes = max(self.peak_bytes, sum(map(_resident_bytes, self._members)))

    def _look(self) -> None:
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._members = _with_descendants(self._pid)


def _with_descendants(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        found += _children(member)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in _entries(Path(f"/proc/{pid}/task")):
        found += map(int, _read(task / "children").split())
    return found


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """What the file says; nothing when the process has ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _cpu_ticks(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _resident_bytes(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * _PAGE if fields else 0
