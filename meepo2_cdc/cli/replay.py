"""
`meepo2-cdc replay`: the records of the data topics, to stdout.

Joins no consumer group, so it can be run at any time beside the applications.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from meepo2_cdc.cli import completion
from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import Action

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from meepo2_cdc.config import Settings
    from meepo2_cdc.kafka.offsets import Extent, Partition
    from meepo2_cdc.kafka.reader import RangeReader, Record
    from meepo2_cdc.replay.connectors import Chosen

_ADVANCE = 1000


@click.command(
    epilog="""\b
Example:
  meepo2-cdc replay --table 'shop.*' --action delete --from-timestamp 2026-07-01T00:00:00Z --json
"""
)
@settings_options("schema-registry-url", connector="optional")
@click.option("--from-offset", metavar="N|P:N,...", help="First offset; also earliest (the default) or latest.")
@click.option("--to-offset", metavar="N|P:N,...", help="Offset to stop at, itself not read; the ends by default.")
@click.option("--from-timestamp", metavar="ISO8601", help="Committed then or later; with its zone, such as ...Z.")
@click.option("--to-timestamp", metavar="ISO8601", help="Committed before then.")
@click.option(
    "--topic", "topics", multiple=True, metavar="NAME", shell_complete=completion.topics,
    help="Only this topic (repeatable).",
)  # fmt: skip
@click.option(
    "--table", "tables", multiple=True, metavar="GLOB", shell_complete=completion.tables,
    help="Only these, as schema.table (repeatable).",
)  # fmt: skip
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice([a.value for a in Action]),
    help="Only this (repeatable).",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N records.")
@click.option("--json", "in_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only show the ranges of offsets that would be read; with CONNECTOR, count what would be applied.",
)
@log_options
def replay(
    settings: Settings, chosen: Chosen | None, in_json: bool, dry_run: bool, limit: int | None, **asked_for: Any
) -> None:
    """
    Print the records of the data topics, in the order of their seq; or apply them with CONNECTOR.

    CONNECTOR's consumer group is neither joined nor moved: a replay can go beside it.

    Without a range everything there is now is printed. An offset N counts in each partition; P:N,... names
    partitions of one topic, and then reads those only. Reading ends where the topics ended at the start.
    """
    from meepo2_cdc.kafka.clients import connect

    asked = _Asked(**asked_for)
    admin = connect(settings.kafka)
    ranges = asked.ranges(admin, settings)
    if chosen is not None:
        _apply(chosen, ranges, asked, limit, dry_run, in_json)
    elif dry_run:
        _print_ranges(ranges, in_json)
    else:
        _print_records(settings, ranges, asked, limit, in_json)


class _Asked:
    """The options, parsed before anything is asked of Kafka."""

    def __init__(
        self,
        from_offset: str | None,
        to_offset: str | None,
        from_timestamp: str | None,
        to_timestamp: str | None,
        topics: tuple[str, ...],
        tables: tuple[str, ...],
        actions: tuple[str, ...],
    ) -> None:
        from meepo2_cdc.replay.selection import Filter, parse_moment, parse_offsets

        for side, offset, moment in (("from", from_offset, from_timestamp), ("to", to_offset, to_timestamp)):
            if offset is not None and moment is not None:
                raise ConfigError(f"--{side}-offset and --{side}-timestamp are both given; keep one")
        for glob in tables:
            if "." not in glob:
                raise ConfigError(f"--table {glob!r} is no schema.table pattern, such as 'shop.*' or '*.orders'")
        self.topics = topics
        self.since = None if from_offset is None else parse_offsets("--from-offset", from_offset)
        self.until = None if to_offset is None else parse_offsets("--to-offset", to_offset)
        self.filter = Filter(
            tables=tables,
            actions=frozenset(map(Action, actions)),
            since=parse_moment("--from-timestamp", from_timestamp) if from_timestamp else None,
            until=parse_moment("--to-timestamp", to_timestamp) if to_timestamp else None,
        )

    def ranges(self, admin: AdminClient, settings: Settings) -> dict[Partition, Extent]:
        """What is read of each partition; the ends are those of now."""
        from meepo2_cdc.kafka.offsets import Extent, Partition, extents, first_at
        from meepo2_cdc.kafka.topics import TopicNames, partition_counts
        from meepo2_cdc.replay.selection import choose_topics, ranges

        counts = partition_counts(admin)
        template = settings.topics.template
        names = TopicNames(settings.prefix, template)
        topics = choose_topics(
            counts,
            names.is_data_topic,
            self.topics,
            self.filter.tables,
            template.replace("{prefix}", settings.prefix),
        )
        within = extents(admin, [Partition(topic, n) for topic in topics for n in range(counts[topic])])
        chosen = ranges(within, self.since, self.until)
        if self.filter.since is not None:
            begins = first_at(admin, chosen, self.filter.since)
            chosen = {one: Extent(begins[one], end) for one, (_, end) in chosen.items()}
        # Not so with until: the markers of transactions are as late as the capture was, and have offsets too.
        return chosen


def _print_ranges(ranges: dict[Partition, Extent], in_json: bool) -> None:
    from meepo2_cdc.cli.printing import aligned, as_json, print_lines

    if in_json:
        print_lines(
            as_json(
                {
                    "topic": one.topic,
                    "partition": one.number,
                    "from": begin,
                    "to": end,
                    "offsets": end - begin,
                }
            )
            for one, (begin, end) in ranges.items()
        )
        return
    rows = [(str(one), str(begin), str(end), str(end - begin)) for one, (begin, end) in ranges.items()]
    total = sum(end - begin for begin, end in ranges.values())
    print_lines(aligned(("partition", "from", "to", "offsets"), [*rows, ("all", "", "", str(total))]))


def _apply(
    chosen: Chosen, ranges: dict[Partition, Extent], asked: _Asked, limit: int | None, dry_run: bool, in_json: bool
) -> None:
    from meepo2_cdc.cli.applying import apply, count
    from meepo2_cdc.cli.printing import aligned, as_json, print_lines

    if not dry_run:
        apply(chosen, ranges, asked.filter.test(), limit)
        return
    counts = count(chosen, ranges, asked.filter.test())
    if in_json:
        print_lines(as_json({"table": table, "action": action, "records": n}) for table, action, n in counts)
    else:
        total = sum(n for _, _, n in counts)
        rows = [(table, action, str(n)) for table, action, n in counts]
        print_lines(aligned(("table", "action", "records"), [*rows, ("all", "", str(total))]))


def _print_records(
    settings: Settings, ranges: dict[Partition, Extent], asked: _Asked, limit: int | None, in_json: bool
) -> None:
    from meepo2_cdc.cli.applying import progress
    from meepo2_cdc.cli.printing import RECORD_COLUMNS, aligned, print_lines, record_json, record_row
    from meepo2_cdc.kafka.reader import RangeReader
    from meepo2_cdc.kafka.registry import schema_of_id
    from meepo2_cdc.records.row_avro import ChangeDecoder
    from meepo2_cdc.replay.build import collect_seldom

    registry = settings.schema_registry_url
    reader = RangeReader(settings.kafka, ranges, ChangeDecoder(schema_of_id(registry) if registry else None))
    wanted = asked.filter.test()
    collect_seldom()
    total = sum(end - begin for begin, end in ranges.values())
    with progress(total, sys.stderr.isatty() and not sys.stdout.isatty()) as bar:  # or it would run through the lines
        records = islice((one for one in _shown(reader, bar) if wanted(one.action)), limit)
        if in_json:
            print_lines(map(record_json, records))
        else:
            print_lines(aligned(RECORD_COLUMNS, map(record_row, records)))


def _shown(reader: RangeReader, bar: Any) -> Iterator[Record]:
    """The reader's records; the bar hears of every thousandth."""
    if bar is None:
        yield from reader
        return
    for count, record in enumerate(reader):
        if count % _ADVANCE == 0:
            bar.update(bar.task_ids[0], completed=reader.passed)
        yield record
    bar.update(bar.task_ids[0], completed=reader.passed)
