"""
Numbers as people read them.
"""

from __future__ import annotations

import math

UNKNOWN = "\N{EN DASH}"


def count(value: float) -> str:
    """1234567 as 1 234 567, with thin spaces."""
    return UNKNOWN if math.isnan(value) else f"{round(value):,}".replace(",", "\u202f")


def short(value: float) -> str:
    """For axes and tiles: 12.3k, 4.5M."""
    if math.isnan(value):
        return UNKNOWN
    for least, unit, name in ((999.5e6, 1e9, "G"), (999.5e3, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """The two largest units: 350 ms, 4.2 s, 3 min 20 s, 2 h 5 min, 6 d 4 h."""
    if math.isnan(seconds):
        return UNKNOWN
    if math.isinf(seconds):
        return "no limit"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    for size, unit, part, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = int(seconds % size // part)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {name}" if rest else "")
    raise AssertionError("unreachable")


def size(value: float) -> str:
    """Bytes, in the units of memory."""
    if math.isnan(value):
        return UNKNOWN
    for limit, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= limit:
            return f"{value / limit:.1f} {unit}"
    return f"{value:.0f} B"
