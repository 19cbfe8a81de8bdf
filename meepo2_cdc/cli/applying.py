"""
`meepo2-cdc replay CONNECTOR`: ranges of the data topics applied once more, without a consumer group.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from meepo2_cdc.errors import Error, UnreadableData
from meepo2_cdc.kafka.ranges import RangeFeed, messages_in
from meepo2_cdc.observe.foreground import in_foreground

if TYPE_CHECKING:
    from meepo2_cdc.kafka.message import Message
    from meepo2_cdc.kafka.offsets import Extent, Partition
    from meepo2_cdc.records import TableAction
    from meepo2_cdc.replay.connectors import Chosen

_INTERRUPTED = 130

Ranges = Mapping["Partition", "Extent"]


def apply(chosen: Chosen, ranges: Ranges, wanted: Callable[[TableAction], bool], limit: int | None) -> None:
    """Applies what the ranges hold; raises Error when records were set aside."""
    from meepo2_cdc.replay.build import connector_wants, range_runner

    wants = connector_wants(chosen)
    with progress(sum(end - begin for begin, end in ranges.values()), sys.stderr.isatty()) as bar:
        feed = _Watched(chosen.settings.kafka, ranges, bar)
        applied = _Limited(lambda record: wanted(record) and wants(record), limit, feed.end)
        runner, failed = range_runner(chosen, feed, applied)
        in_foreground(runner.run, runner.stop)
    if not runner.finished:
        click.echo("stopped before the end; what was applied until then may be applied again", err=True)
        raise SystemExit(_INTERRUPTED)
    read = applied.count + failed.unreadable
    click.echo(f"{read - failed.count} records applied, {failed.count} set aside", err=True)
    if failed.count:
        raise Error(
            f"{failed.count} of {read} records could not be applied",
            fix=f"meepo2-cdc dead-letters list {chosen.name}",
        )


def count(chosen: Chosen, ranges: Ranges, wanted: Callable[[TableAction], bool]) -> list[tuple[str, str, int]]:
    """Table, action and number of the records that would be applied; of messages that are none, only the number."""
    from meepo2_cdc.replay.build import connector_wants, decoder

    decode, wants = decoder(chosen.settings), connector_wants(chosen)
    found: Counter[tuple[str, str]] = Counter()
    for message in messages_in(chosen.settings.kafka, ranges):
        raw = message.value()
        if raw is None:
            continue
        try:
            record = decode(raw)
        except UnreadableData:
            found["", "unreadable"] += 1
            continue
        if wanted(record) and wants(record):
            found[record.qualified_table, record.action.value] += 1
    return [(table, action, number) for (table, action), number in sorted(found.items())]


def progress(total: int, shown: bool) -> AbstractContextManager[Any]:
    """A bar with an estimate on stderr; none where nobody would see it."""
    if not shown:
        return nullcontext()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True))
    bar.add_task("offsets", total=total)
    return bar


class _Watched(RangeFeed):
    """Tells the bar how far it is."""

    def __init__(self, kafka: Mapping[str, str], ranges: Ranges, bar: Any) -> None:
        super().__init__(kafka, ranges)
        self._bar = bar

    def read(self, most: int, seconds: float) -> list[Message]:
        messages = super().read(most, seconds)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.passed)
        return messages


class _Limited:
    """Lets the first records pass that are wanted, and then ends the reading."""

    def __init__(self, wanted: Callable[[TableAction], bool], limit: int | None, end: Callable[[], None]) -> None:
        self._wanted = wanted
        self._limit = limit
        self._end = end
        self.count = 0

    def __call__(self, record: TableAction) -> bool:
        if self.count == self._limit or not self._wanted(record):
            return False
        self.count += 1
        if self.count == self._limit:
            self._end()
        return True
