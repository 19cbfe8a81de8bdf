"""
Which records a replay reads: from the words of the command line to one range of offsets for each partition.

Ranges are half-open, as Kafka's own are: `from` is included, `to` is not.  Asks no broker; who calls brings
what the partitions hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.kafka.offsets import Extent, Partition
from meepo2_cdc.records import Action, TableAction

EARLIEST = "earliest"
LATEST = "latest"
_SHOWN = 10

Place = int | str
"""An offset, or `earliest` or `latest`."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """What --from-offset or --to-offset said: one place for every partition, or one for each named."""

    option: str
    everywhere: Place | None = None
    by_partition: Mapping[int, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records of the ranges are wanted; empty means all."""

    tables: tuple[str, ...] = ()
    actions: frozenset[Action] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def test(self) -> Callable[[TableAction], bool]:
        """A function that is called once per record, so it remembers the tables it has met."""
        known: dict[tuple[str, str], bool] = {}

        def wanted(record: TableAction) -> bool:
            table = record.schema, record.table
            if table not in known:
                known[table] = not self.tables or any(fnmatchcase(record.qualified_table, glob) for glob in self.tables)
            return (
                known[table]
                and (not self.actions or record.action in self.actions)
                and (self.since is None or record.committed_at >= self.since)
                and (self.until is None or record.committed_at < self.until)
            )

        return wanted


def parse_offsets(option: str, text: str) -> Offsets:
    """`N`, `earliest`, `latest`, or `P:N,P:N` where N may be a word too."""
    if ":" not in text:
        return Offsets(option, everywhere=_place(option, text))
    by_partition: dict[int, Place] = {}
    for part in text.split(","):
        number, _, place = part.strip().partition(":")
        if not number.isdecimal() or int(number) in by_partition:
            raise ConfigError(f"{option} has {part.strip()!r}; expected PARTITION:OFFSET, each partition once")
        by_partition[int(number)] = _place(option, place)
    return Offsets(option, by_partition=by_partition)


def _place(option: str, text: str) -> Place:
    if text in (EARLIEST, LATEST):
        return text
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ConfigError(f"{option} is {text!r}; expected an offset, earliest, latest, or PARTITION:OFFSET,...")
    return int(text)


def parse_moment(option: str, text: str) -> datetime:
    """A time with its zone, ISO 8601; one without a zone is refused, as it means another time elsewhere."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} is {text!r}; expected ISO 8601, such as 2026-07-01T12:00:00Z") from None
    if moment.tzinfo is None:
        example = moment.isoformat()
        raise ConfigError(f"{option} is {text!r}, which has no time zone; write {example}Z or {example}+02:00")
    return moment


def choose_topics(
    existing: Iterable[str],
    of_prefix: Callable[[str], bool],
    asked: Sequence[str],
    tables: Sequence[str],
    template: str,
) -> list[str]:
    """
    The topics to read: those asked for, else the data topics that can hold one of the tables.

    `template` is the one for topic names with its prefix filled in.
    """
    there = sorted(name for name in existing if not name.startswith("__"))
    for topic in asked:
        if topic not in there:
            raise ConfigError(f"there is no topic {topic!r}", fix=_near(topic, there))
    if asked:
        return list(dict.fromkeys(asked))
    data = [name for name in there if of_prefix(name)]
    if not data:
        raise ConfigError(f"there is no data topic: none is named like {template}", fix=_near("", there))
    chosen = topics_of(data, tables, template)
    if not chosen:
        fix = _near(_topic_glob(template, tables[0]), data)
        raise ConfigError(f"no topic can hold a table {' or '.join(tables)}", fix=fix)
    return chosen


def topics_of(data: Iterable[str], tables: Sequence[str], template: str) -> list[str]:
    """Those data topics that can hold one of the tables; all, where no table is named."""
    globs = [_topic_glob(template, table) for table in tables]
    return [name for name in data if not globs or any(fnmatchcase(name, glob) for glob in globs)]


def _topic_glob(template: str, table: str) -> str:
    """Which topics can hold the tables of a glob: all of them, where the template does not say it plainly."""
    legal = re.sub(r"[^A-Za-z0-9._*?-]", "_", re.sub(r"\[[^]]*\]", "?", table))
    return re.sub(r"\{\w+\}", "*", template.replace("{schema}.{table}", legal))


def _near(name: str, there: Sequence[str]) -> str:
    near = get_close_matches(name, there, n=3)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    if not there:
        return "There are no topics at all; see --bootstrap-servers and --prefix."
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"There are: {', '.join(there[:_SHOWN])}{more}.  See --prefix."


def ranges(within: Mapping[Partition, Extent], since: Offsets | None, until: Offsets | None) -> dict[Partition, Extent]:
    """
    One range for each partition that is read, inside what it holds.

    A single N is an error when it lies beyond the end of every partition, or when records from N on were
    removed from one; a partition that is shorter than N gives nothing.  P:N must fit its partition.
    """
    begins = {one: extent.begin for one, extent in within.items()}
    ends = {one: extent.end for one, extent in within.items()}
    if since is not None:
        begins = _resolved(within, since)
        _refuse_gap(within, since, begins)
    if until is not None:
        ends |= _resolved(within, until)
    crossed = [one for one, begin in begins.items() if begin > ends[one]]
    if crossed and len(crossed) == len(begins):
        raise _out_of_range("the range ends before it begins, in every partition that would be read", within)
    chosen = {}
    for one, begin in begins.items():
        end = min(ends[one], within[one].end)
        chosen[one] = Extent(min(begin, end), end)
    return chosen


def _resolved(within: Mapping[Partition, Extent], given: Offsets) -> dict[Partition, int]:
    if given.everywhere is None:
        return _resolved_by_partition(within, given)
    found = {one: _number(given.everywhere, extent) for one, extent in within.items()}
    if found and all(n > within[one].end for one, n in found.items()):
        raise _out_of_range(f"{given.option} {given.everywhere} lies beyond the end of every partition", within)
    return found


def _resolved_by_partition(within: Mapping[Partition, Extent], given: Offsets) -> dict[Partition, int]:
    topics = {one.topic for one in within}
    if len(topics) > 1:
        raise ConfigError(
            f"{given.option} names partitions, and {len(topics)} topics would be read",
            fix=f"Choose one with --topic: {', '.join(sorted(topics)[:_SHOWN])}",
        )
    numbered = {one.number: one for one in within}
    found: dict[Partition, int] = {}
    for number, place in given.by_partition.items():
        if number not in numbered:
            raise _out_of_range(f"{given.option} names partition {number}, which does not exist", within)
        one = numbered[number]
        found[one] = _number(place, within[one])
        if found[one] > within[one].end or (found[one] < within[one].begin and given.option == "--to-offset"):
            raise _out_of_range(f"{given.option} {number}:{place} is out of range", {one: within[one]})
    return found


def _number(place: Place, extent: Extent) -> int:
    if isinstance(place, int):
        return place
    return extent.begin if place == EARLIEST else extent.end


def _refuse_gap(within: Mapping[Partition, Extent], given: Offsets, begins: Mapping[Partition, int]) -> None:
    gone = {one: begin for one, begin in begins.items() if begin < within[one].begin}
    if not gone:
        return
    lines = [f"{one} holds {within[one]}: {begin} to {within[one].begin - 1} are gone" for one, begin in gone.items()]
    raise ConfigError(
        f"{given.option} asks for records that were removed (retention)",
        fix="\n".join([*lines[:_SHOWN], "Give earliest to read what is left."]),
    )


def _out_of_range(found: str, within: Mapping[Partition, Extent]) -> ConfigError:
    lines = [f"{one} holds {extent}" for one, extent in within.items()]
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return ConfigError(found, fix="\n".join(lines[:_SHOWN] + more))
