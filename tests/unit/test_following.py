"""
The line that tells how far a snapshot is.
"""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from meepo2_cdc.cli.following import Line, duration, told
from meepo2_cdc.records.snapshot import Snapshot, TableName, TableProgress

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CURRENT = TableProgress("shop", "orders", NOW, rows=1000, rows_expected=5000)
ONE = Snapshot("x", NOW, None, 100, None, waiting=(TableName("shop", "users"),), current=CURRENT)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_tells_rows_speed_and_the_time_that_is_left() -> None:
    """Whoever waits at night must know whether to go to bed."""
    assert told(ONE, 200.0) == "shop.orders: 1000 of about 5000 rows, 200 rows/s, 20 s left, 1 tables after it"
    assert told(replace(ONE, paused=True), 200.0) == "shop.orders: 1000 of about 5000 rows, paused, 1 tables after it"
    assert told(replace(ONE, current=replace(CURRENT, rows_expected=None)), None).startswith("shop.orders: 1000 rows")


def test_an_estimate_that_is_too_small_leaves_no_negative_time() -> None:
    """The servers' estimates are off by half at times."""
    late = replace(ONE, current=replace(CURRENT, rows=9000))
    assert told(late, 100.0).startswith("shop.orders: 9000 of about 9000 rows, 100 rows/s, 0 s left")


@pytest.mark.parametrize(("seconds", "text"), [(7.4, "7 s"), (130, "2 min 10 s"), (7300, "2 h 1 min")])
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    """Seconds of a day are no answer."""
    assert duration(seconds) == text


def test_a_terminal_gets_one_line_that_is_written_anew() -> None:
    """A log of a thousand lines hides what was on the screen before."""
    time, out = [0.0], Terminal()
    line = Line(out, lambda: time[0])
    for rows in (1000, 2000):
        line.show(replace(ONE, current=replace(CURRENT, rows=rows)))
        time[0] += 10
    line.end()
    assert out.getvalue().count("\r") == 2
    assert "2000 of about 5000 rows, 100 rows/s, 30 s left" in out.getvalue()
    assert out.getvalue().count("\n") == 1
