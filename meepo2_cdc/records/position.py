"""
Positions in a source's log: files that order by their number, and sets of global transaction ids.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogPosition:
    """A byte in a log file.  Compared by `order`: `binlog.999999` comes before `binlog.1000000`."""

    file: str
    offset: int

    @property
    def order(self) -> tuple[int, int]:
        return file_number(self.file), self.offset

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}"


def file_number(file: str) -> int:
    """The number at the end of a log file's name; raises ValueError when there is none."""
    return int(file.rpartition(".")[2])


class GtidSet(Protocol):
    """Transactions that were executed."""

    def add(self, gtid: str) -> None:
        """One transaction more."""

    def __contains__(self, gtid: str) -> bool: ...

    def is_within(self, other: GtidSet) -> bool:
        """Whether the other set has every transaction of this one."""

    def copy(self) -> GtidSet:
        """An independent set of the same transactions."""


_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_INTERVAL = r"\d+(?:-\d+)?"
_MYSQL_MEMBER = re.compile(rf"{_UUID}(?::(?:[a-z_][a-z0-9_]*:)?{_INTERVAL})+", re.ASCII | re.IGNORECASE)
_MARIADB_MEMBER = re.compile(r"\d+-\d+-\d+", re.ASCII)


_RECENT = 32


class _Intervals:
    """
    Numbers as closed intervals, sorted and apart.

    All but the last few are not changed as a rule: copies share them, and their text is made once.  So a set of ten
    thousand intervals costs a commit no more than one of ten.
    """

    __slots__ = ("_old", "_old_text", "_recent")

    def __init__(self, old: tuple[tuple[int, int], ...], old_text: str, recent: list[list[int]]) -> None:
        self._old, self._old_text, self._recent = old, old_text, recent

    def add(self, first: int, last: int) -> None:
        recent = self._recent
        if recent and recent[-1][1] + 1 == first:
            recent[-1][1] = last
            return
        if self._old and first <= self._old[-1][1] + 1:  # a gap of long ago is filled
            recent = self._recent = [*map(list, self._old), *recent]
            self._old, self._old_text = (), ""
        if not recent or first > recent[-1][1]:
            recent.append([first, last])
        else:
            recent.insert(bisect_right(recent, [first, last]), [first, last])
            recent = self._recent = _merged(recent)
        if len(recent) > 2 * _RECENT:
            self._set_aside(len(recent) - _RECENT)

    def _set_aside(self, count: int) -> None:
        aside = [(first, last) for first, last in self._recent[:count]]
        self._old = (*self._old, *aside)
        self._old_text += _text(aside)
        del self._recent[:count]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        yield from self._old
        yield from ((first, last) for first, last in self._recent)

    def covers(self, first: int, last: int) -> bool:
        """Whether all numbers from the first to the last are in."""
        some: Sequence[Sequence[int]] = self._recent
        if not self._recent or first < self._recent[0][0]:
            some = self._old
        at = bisect_right(some, first, key=itemgetter(0)) - 1
        return at >= 0 and last <= some[at][1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Intervals):
            return False
        return (self._old is other._old and self._recent == other._recent) or list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def copy(self) -> _Intervals:
        return _Intervals(self._old, self._old_text, [list(one) for one in self._recent])

    def __str__(self) -> str:
        return self._old_text + _text(self._recent)


def _text(intervals: Iterable[Sequence[int]]) -> str:
    return "".join(f":{first}-{last}" if last > first else f":{first}" for first, last in intervals)


def _merged(intervals: list[list[int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for first, last in intervals:
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged


class MysqlGtidSet:
    """
    uuid:first-last:first-last,uuid:...  (MySQL manual, "GTID Sets"); tags, as in uuid:tag:1-3, are kept.

    Adding the next number of a server, which is the usual case, costs no search.
    """

    def __init__(self, text: str = "") -> None:
        self._intervals: dict[str, _Intervals] = {}
        for member in filter(None, (part.strip() for part in text.replace("\n", "").split(","))):
            self._parse(member)

    def _parse(self, member: str) -> None:
        if not _MYSQL_MEMBER.fullmatch(member):
            raise ValueError(f"{member!r} is no GTID set of MySQL; expected uuid:1-5")
        server, *rest = member.lower().split(":")
        name = server
        for part in rest:
            first, dash, last = part.partition("-")
            if not first.isdigit():
                name = f"{server}:{part}"
                continue
            if not 0 < int(first) <= int(last or first):
                raise ValueError(f"{part!r} in {member!r} is no interval; expected two numbers in order, from 1 on")
            self.add_interval(name, int(first), int(last) if dash else int(first))

    def add(self, gtid: str) -> None:
        name, _, number = gtid.rpartition(":")
        self.add_interval(name, int(number), int(number))

    def add_interval(self, name: str, first: int, last: int) -> None:
        """`name` is the uuid, with the tag if there is one."""
        intervals = self._intervals.get(name)
        if intervals is None:
            intervals = self._intervals[name] = _Intervals((), "", [])
        intervals.add(first, last)

    def members(self) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """Uuid (with the tag, if there is one) and the closed intervals of each server, sorted."""
        for name, intervals in sorted(self._intervals.items(), key=itemgetter(0)):
            yield name, list(intervals)

    def __contains__(self, gtid: str) -> bool:
        name, _, number = gtid.rpartition(":")
        return self._covers(name, int(number), int(number))

    def _covers(self, name: str, first: int, last: int) -> bool:
        intervals = self._intervals.get(name)
        return intervals is not None and intervals.covers(first, last)

    def is_within(self, other: GtidSet) -> bool:
        return isinstance(other, MysqlGtidSet) and all(
            other._covers(name, first, last) for name, intervals in self._intervals.items() for first, last in intervals
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MysqlGtidSet) and self._intervals == other._intervals

    __hash__ = None  # type: ignore[assignment]  # it changes

    def copy(self) -> MysqlGtidSet:
        twin = MysqlGtidSet()
        twin._intervals = {name: intervals.copy() for name, intervals in self._intervals.items()}
        return twin

    def __str__(self) -> str:
        return ",".join(f"{name}{intervals}" for name, intervals in sorted(self._intervals.items(), key=itemgetter(0)))


class MariadbGtidSet:
    """domain-server-sequence,...: the last transaction of each domain (MariaDB manual, "gtid_slave_pos")."""

    def __init__(self, text: str = "") -> None:
        self._last: dict[int, str] = {}
        for member in filter(None, (part.strip() for part in text.split(","))):
            if not _MARIADB_MEMBER.fullmatch(member):
                raise ValueError(f"{member!r} is no GTID of MariaDB; expected domain-server-sequence")
            self.add(member)

    def add(self, gtid: str) -> None:
        self._last[int(gtid.partition("-")[0])] = gtid

    def __contains__(self, gtid: str) -> bool:
        """Within a domain, transactions have ascending numbers, whichever server they come from."""
        domain, _, number = gtid.split("-")
        last = self._last.get(int(domain))
        return last is not None and int(number) <= int(last.rpartition("-")[2])

    def is_within(self, other: GtidSet) -> bool:
        return all(gtid in other for gtid in self._last.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MariadbGtidSet) and self._last == other._last

    __hash__ = None  # type: ignore[assignment]  # it changes

    def copy(self) -> MariadbGtidSet:
        twin = MariadbGtidSet()
        twin._last = dict(self._last)
        return twin

    def __str__(self) -> str:
        return ",".join(self._last[domain] for domain in sorted(self._last))


def gtid_set(flavor: str, text: str) -> MysqlGtidSet | MariadbGtidSet:
    """`flavor` is "mysql" or "mariadb"; raises ValueError for text that is no such set."""
    return MysqlGtidSet(text) if flavor == "mysql" else MariadbGtidSet(text)
