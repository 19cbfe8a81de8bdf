"""
What is told of a service: lags, what is left, rates, numbers as words, and what must not be told.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from meepo2_cdc.capture.committer import Committer
from meepo2_cdc.capture.progress import Progress
from meepo2_cdc.capture.retention import Kept
from meepo2_cdc.observe import charts, metrics, redaction, words
from meepo2_cdc.observe.content import Curve
from meepo2_cdc.observe.history import History, Point
from meepo2_cdc.observe.vitals import Health
from meepo2_cdc.records import Action
from meepo2_cdc.records.checkpoint import Checkpoint

HOUR = 3600.0
CHECKPOINT = Checkpoint(
    source="db", flavor="mysql", server=None, gtid_set=None, file="binlog.000001", position=4, gtid=None,
    rows_done=0, undecided=None, seq=1, tables=("*.*",), committed_at=None, written_by="a test",
    written_at=datetime(2026, 7, 1, tzinfo=UTC),
)  # fmt: skip


class Executor:
    """Runs nothing until it is told to."""

    def __init__(self) -> None:
        self.given: Future[None] | None = None

    def submit(self, *_: Any) -> Future[None]:
        self.given = Future()
        return self.given


class Reader:
    committed_us: int | None = None


class Stream:
    heard_at = 0.0


class Capture:
    """The parts of a capture that say how far it is, and a clock that stands."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.executor: Any = Executor()
        self.committer = Committer(None, self.executor, lambda _: None)  # type: ignore[arg-type]
        self.progress = Progress(self.committer, 10.0, lambda: self.now)
        self.reader = self.progress.reader = Reader()  # type: ignore[assignment]
        self.stream = Stream()
        self.stream.heard_at = self.now
        self.progress.enter("running")
        self.progress.follow(self.stream)  # type: ignore[arg-type]

    def read_change(self, seconds_ago: float) -> None:
        self.reader.committed_us = int((time.time() - seconds_ago) * 1e6)

    def submit(self, seconds_ago: float) -> None:
        at = datetime.fromtimestamp(time.time() - seconds_ago, UTC)
        self.committer.submit({}, {"a.b": {Action.WRITE: 3}}, replace(CHECKPOINT, committed_at=at))

    def rest(self) -> None:
        self.progress.moved()
        self.progress.rest()


def test_the_lag_is_unknown_before_anything_is_known():
    """A zero would say that all is well."""
    assert math.isnan(Capture().progress.lag_seconds())


def test_the_lag_falls_to_zero_on_an_idle_source():
    """The age of the last change grows for ever there, and would wake somebody every quiet night."""
    capture = Capture()
    capture.read_change(5 * HOUR)
    assert capture.progress.lag_seconds() == pytest.approx(5 * HOUR, abs=5)
    capture.rest()
    assert capture.progress.lag_seconds() == 0.0


def test_the_lag_is_that_of_what_kafka_has_and_not_of_what_is_read():
    """While commits hang the reader is current, and no consumer is."""
    capture = Capture()
    capture.submit(seconds_ago=100)
    capture.read_change(0)
    assert math.isnan(capture.progress.lag_seconds())  # nothing is committed yet
    capture.executor.given.set_result(None)
    capture.committer.settle()
    assert capture.progress.lag_seconds() == pytest.approx(0, abs=1)
    capture.submit(seconds_ago=0)
    assert capture.progress.lag_seconds() == pytest.approx(100, abs=1)
    assert capture.progress.queued == 3


def test_the_lag_grows_while_the_source_is_away():
    """The last that was heard of it was that it was idle, an hour ago."""
    capture = Capture()
    capture.rest()
    capture.progress.follow(None)
    capture.now += HOUR
    assert capture.progress.lag_seconds() == pytest.approx(HOUR)


def test_an_idle_stream_of_a_server_that_hangs_is_not_current():
    """It takes some heartbeats until the connection is given up; until then nothing is known of the source."""
    capture = Capture()
    capture.now += 60.0
    capture.rest()
    assert capture.progress.lag_seconds() == pytest.approx(50.0)  # two heartbeats are no lag


def test_a_clock_that_is_ahead_gives_no_lag_below_zero():
    """Servers' clocks differ by milliseconds, and graphs of negative lags by hours of questions."""
    capture = Capture()
    capture.read_change(-30)
    assert capture.progress.lag_seconds() == 0.0


def test_a_capture_without_its_source_is_not_ready_and_lives():
    """A restart would not bring the source back, and would lose the place in a large transaction."""
    capture = Capture()
    assert capture.progress.health().ready
    capture.progress.follow(None)
    health = capture.progress.health()
    assert not health.ready
    assert "source is away" in health.lacks[0]
    assert health.lives(1.0)


def test_a_commit_that_hangs_is_told():
    """Brokers that take no commits leave everything else looking well for a minute."""
    capture = Capture()
    capture.submit(0)
    assert capture.progress.health().ready
    flight = capture.committer._flight
    assert flight is not None
    capture.committer._flight = flight._replace(since=flight.since - 20)
    assert "a commit is under way for 20 s" in capture.progress.health().lacks[0]


def test_reading_one_large_transaction_counts_as_moving():
    """It gives nothing out for minutes when its tables are filtered; it is read all the same."""
    capture = Capture()
    capture.now += HOUR
    capture.stream.heard_at = capture.now - 1
    assert capture.progress.health().lives(10)
    capture.now += HOUR
    assert not capture.progress.health().lives(10)


def test_only_what_starts_is_not_judged_by_its_loop():
    """A standby that hangs would never take over."""
    assert Health("starting", 1e6).lives(1)
    assert not Health("standby", 1e6).lives(1)


# -- what the source keeps

FILES = (("binlog.000001", 100), ("binlog.000002", 1000), ("binlog.000003", 500))


def kept_at(file: str, seconds_ago: float, keep: float | None = 10 * HOUR) -> float:
    now = 1_800_000_000.0
    at = replace(CHECKPOINT, file=file, committed_at=datetime.fromtimestamp(now - seconds_ago, UTC))
    return Kept(FILES, keep).left_seconds(at, now)


def test_what_is_left_is_never_told_too_long():
    """It is the time in which somebody must act: a purged position is exit 3."""
    assert kept_at("binlog.000002", 4 * HOUR) == 6 * HOUR
    assert kept_at("binlog.000002", 11 * HOUR) == 0.0
    assert kept_at("binlog.000003", 50 * HOUR) == 10 * HOUR  # the last file is never purged, and is written to now
    assert kept_at("binlog.000000", 0) == 0.0
    assert kept_at("binlog.000002", 4 * HOUR, None) == math.inf
    assert math.isnan(kept_at("", 0))  # no file is known yet, and a 0 would be an alarm at each first start


def test_the_way_to_the_end_of_the_log_is_that_of_all_files_between():
    """Positions of different files cannot be compared."""
    kept = Kept(FILES, None)
    assert kept.behind_bytes(replace(CHECKPOINT, file="binlog.000002", position=900)) == 600
    assert math.isnan(kept.behind_bytes(replace(CHECKPOINT, file="binlog.000000")))


# -- metrics


def test_so_many_tables_are_labels_and_the_others_are_one():
    """A server of a hundred thousand tables would make as many time series, for ever."""
    labels = metrics.TableLabels(2)
    assert [labels.of(one) for one in ("a.a", "b.b", "c.c", "a.a", "d.d")] == ["a.a", "b.b", "other", "a.a", "other"]


def test_a_role_hides_what_only_others_have_and_nothing_of_anybody_else():
    """What a connector of somebody else counts must be seen, as must the process's own."""
    registry = CollectorRegistry()
    registry.register(metrics.TARGET_READY)
    registry.register(metrics.SOURCE_CONNECTED)
    Counter("theirs", "Of a connector.", registry=registry)
    names = {one.name for one in metrics.RoleMetrics("run", registry).collect()}
    assert names == {"meepo2_cdc_target_ready", "theirs"}


def test_every_metric_is_served_by_some_role():
    """One that no role has is counted in vain."""
    assert set().union(*metrics._OF.values()) == metrics._EVERY


# -- history, charts, words


def test_a_rate_is_the_growth_of_a_counter():
    """A counter of a process that was started again is not a rate below zero."""
    history = History()
    for at, count in ((0.0, 0.0), (2.0, 10.0), (4.0, 3.0), (6.0, 3.0)):
        history.add(at, {"n": count})
    found = history.rates("n", 6.0)
    assert [(one.seconds_ago, one.value) for one in found if not math.isnan(one.value)] == [(4.0, 5.0), (0.0, 0.0)]


def test_a_peak_is_seen_in_a_long_history():
    """Every third point would hide two peaks of three."""
    history = History()
    for at in range(450):
        history.add(at * 2.0, {"lag": 99.0 if at == 101 else 1.0})
    points = history.levels("lag", 900.0)
    assert len(points) <= 180
    assert max(one.value for one in points) == 99.0


def test_a_chart_leaves_gaps_where_nothing_was_known():
    """A line across them would tell of values that nobody measured."""
    points = [Point(30.0 - n, math.nan if n in (3, 4) else float(n)) for n in range(10)]
    html = charts.figure(Curve("k", "T", "seconds"), points, 900.0)
    assert html.count('class="line"') == 2
    assert "nan" not in re.sub(r"data-points=\"[^\"]*\"", "", html).lower()
    assert "null" in html


@pytest.mark.parametrize(
    ("seconds", "words_"),
    [
        (math.nan, words.UNKNOWN),
        (math.inf, "no limit"),
        (0, "0 s"),
        (0.0304, "30 ms"),
        (4.25, "4.2 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86400 * 6 + 4 * 3600, "6 d 4 h"),
    ],
)
def test_durations_are_in_the_units_that_people_think_in(seconds: float, words_: str):
    """600000 s says nothing at night."""
    assert words.duration(seconds) == words_


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (12_345, "12.3k"), (4_500_000, "4.5M"), (999_400, "999k"), (999_999, "1M"), (0.5, "0.5")],
)
def test_large_numbers_are_short(value: float, text: str):
    """They must fit on a phone."""
    assert words.short(value) == text


# -- secrets


@pytest.fixture
def no_secrets() -> Iterator[None]:
    redaction.forget()
    yield
    redaction.forget()


@pytest.mark.usefixtures("no_secrets")
def test_a_secret_is_taken_out_in_every_spelling():
    """Libraries quote what they were given as a URL, as Python or as JSON has it."""
    secret = "p@ss 'w\"ö\\rd%1"  # noqa: S105 - of nothing
    redaction.hide([secret, "abc"])
    for spelled in (secret, repr(secret), "p%40ss%20%27w%22%C3%B6%5Crd%251", "p@ss 'w\\\"\\u00f6\\\\rd%1"):
        assert redaction.HIDDEN in redaction.redacted(f"mysql://u:{spelled}@h/"), spelled
        assert "w" not in redaction.redacted(f"x{spelled}x").replace(redaction.HIDDEN, ""), spelled
    assert redaction.redacted("abcdef") == "abcdef"  # three characters would take half of every line with them


def test_a_gauge_is_read_with_its_labels():
    """The page shows what the metrics say, and nothing that was counted elsewhere."""
    registry = CollectorRegistry()
    gauge = Gauge("g", "g", ["x"], registry=registry)
    gauge.labels("a").set(2)
    gauge.labels("b").set(3)
    assert metrics.total(gauge) == 5
    assert list(metrics.values(gauge)) == [({"x": "a"}, 2.0), ({"x": "b"}, 3.0)]
