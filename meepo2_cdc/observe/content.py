"""
What a status page shows, as values; how it looks is in page.py and charts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from meepo2_cdc.observe.metrics import Role
from meepo2_cdc.observe.vitals import Health

Tone = Literal["plain", "good", "warn", "bad"]
Unit = Literal["seconds", "per second", "records"]


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that matters, in large."""

    label: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Curve:
    """
    What a chart shows over time of the sample's value `key`.

    With the unit "per second" the value is a counter, and its growth is shown.
    """

    key: str
    title: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and their values."""

    key: str
    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; the columns in `numbers` are numbers.  `empty` is shown in place of no rows, `note` below."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str
    numbers: Sequence[int] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """All that changes on a page, but for the curves.  `summary` says in a line what the service is at."""

    summary: str
    tiles: Sequence[Tile]
    sections: Sequence[Facts | Table]


class Subject(Protocol):
    """A service that is watched.  Everything is asked by other threads than its own, and must not wait for long."""

    role: Role
    title: str
    curves: Sequence[Curve]

    def health(self) -> Health: ...

    def sample(self) -> Mapping[str, float]:
        """The curves' values now, by key; asked every other second, so it is cheap."""

    def content(self) -> Content:
        """Asked only while somebody looks."""

    def start(self) -> None:
        """Begins to ask others (Kafka, the source) for what the service itself does not know."""

    def close(self) -> None: ...
