"""
What this project wants to reach, beside what it reached.

All are ratios within one run, or times that a person notices; a floor must hold, a goal is where to go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.drain import Drain
from tests.benchmarks.peer import OURS
from tests.benchmarks.results import Results

MEBIBYTE = 1 << 20
LATENCY_RATE = 1000
DEBEZIUM = "debezium"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line: `found` is None when what it is held against was not measured."""

    what: str
    found: float | None
    floor: float
    goal: float | None = None
    unit: str = "x"
    at_most: bool = False

    def meets(self, wanted: float | None) -> bool | None:
        if self.found is None or wanted is None:
            return None
        return self.found <= wanted if self.at_most else self.found >= wanted


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Factors against one peer: floor and goal of rows and of transactions, floors of CPU for both."""

    rows: tuple[float, float]
    transactions: tuple[float, float]
    cpu: tuple[float, float] | None = None


AGAINST = {
    DEBEZIUM: _Wanted((10, 20), (6, 12), (15, 8)),
    "debezium-embedded": _Wanted((10, 20), (6, 12), (15, 8)),
    "maxwell": _Wanted((4, 6), (3, 6)),
    "go-mysql": _Wanted((2.2, 4), (1, 2), (3, 1.5)),
    "rust": _Wanted((2.2, 4), (1, 2), (2, 1.5)),
}


def verdicts(results: Results) -> Iterator[Verdict]:
    for peer, wanted in AGAINST.items():
        yield from _against(results, peer, wanted)
    yield from _memory(results)
    yield from _limits(results)
    yield from _latency(results)
    yield Verdict(
        "ready to stream", results.median("bulk", OURS.name, lambda one: one.ready_seconds), 2, unit="s", at_most=True
    )
    yield from _growth(results)


def _against(results: Results, peer: str, wanted: _Wanted) -> Iterator[Verdict]:
    def ours_over(data_set: str, value: Callable[[Drain], float]) -> float | None:
        ours, theirs = (results.median(data_set, name, value) for name in (OURS.name, peer))
        return None if ours is None or theirs is None else ours / theirs

    def less_cpu(data_set: str) -> float | None:
        found = ours_over(data_set, lambda one: one.cpu_per_million)
        return 1 / found if found else None

    yield Verdict(f"rows/s, bulk, over {peer}", ours_over("bulk", lambda one: one.rows_per_second), *wanted.rows)
    yield Verdict(
        f"transactions/s, oltp, over {peer}", ours_over("oltp", lambda one: one.rows_per_second), *wanted.transactions
    )
    if wanted.cpu is not None:
        yield Verdict(f"CPU of {peer} over ours, bulk", less_cpu("bulk"), wanted.cpu[0])
        yield Verdict(f"CPU of {peer} over ours, oltp", less_cpu("oltp"), wanted.cpu[1])


def _memory(results: Results) -> Iterator[Verdict]:
    ours = results.median("bulk", OURS.name, lambda one: one.peak_bytes)
    theirs = results.median("bulk", DEBEZIUM, lambda one: one.peak_bytes)
    yield Verdict("peak memory, bulk", ours and ours / MEBIBYTE, 80, unit="MB", at_most=True)
    yield Verdict(f"memory of {DEBEZIUM} over ours, bulk", theirs / ours if theirs and ours else None, 8)


def _limits(results: Results) -> Iterator[Verdict]:
    rate = results.median("bulk", OURS.name, lambda one: one.rows_per_second)
    limits = results.limits
    share = 100 * rate / limits.lower if rate and limits else None
    yield Verdict("share of the lower of walk and produce alone, bulk", share, 60, unit="%")
    yield Verdict("replay, read and decoded", limits and limits.replay, 150_000, unit="records/s")


def _latency(results: Results) -> Iterator[Verdict]:
    ours = results.latencies.get((OURS.name, LATENCY_RATE))
    theirs = results.latencies.get((DEBEZIUM, LATENCY_RATE))
    p99 = ours.p99_ms if ours else None
    yield Verdict(f"latency p99 at {LATENCY_RATE} transactions/s", p99, 100, unit="ms", at_most=True)
    ratio = theirs.p99_ms / ours.p99_ms if ours and theirs else None
    yield Verdict(f"latency p99 of {DEBEZIUM} over ours, at {LATENCY_RATE} transactions/s", ratio, 1)


def _growth(results: Results) -> Iterator[Verdict]:
    growth = results.growth
    rows = tables = memory = None
    if growth is not None:
        fewer, more = growth.rows
        rows, memory = fewer.rows_per_second / more.rows_per_second, more.peak_bytes / fewer.peak_bytes
        few, many = growth.tables
        tables = many.cpu_per_million / few.cpu_per_million
    yield Verdict("time a row, ten times the rows", rows, 1.1, at_most=True)
    yield Verdict("peak memory, ten times the rows", memory, 1.1, at_most=True)
    yield Verdict("CPU a row, 10,000 tables instead of 10", tables, 1.1, at_most=True)
