"""
When a row that did not fit is called different, and when it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table
from sqlalchemy import types as sql

from meepo2_cdc.cli.verified import as_lines, as_objects, summary
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.records.snapshot import TableName
from meepo2_cdc.replay.rows import LogEnd
from meepo2_cdc.replay.sink import Difference
from meepo2_cdc.replay.verify.comparison import Compared
from meepo2_cdc.replay.verify.key_sums import KeySums, bucket_of
from meepo2_cdc.replay.verify.pipeline import covers
from meepo2_cdc.replay.verify.run import Verified
from meepo2_cdc.replay.verify.settling import Settled, Settling, is_settled
from meepo2_cdc.replay.verify.suspects import Suspect, SuspectFile
from meepo2_cdc.testing import InMemoryRows

USER = TableName("shop", "user")
Pk = tuple[Any, ...]


class World(InMemoryRows):
    """A source and a target; `then` is what happens before each look, one after the other."""

    def __init__(self) -> None:
        super().__init__([Table("user", MetaData(), Column("id", sql.Integer, primary_key=True), schema="shop")])
        self.target: dict[Pk, dict[str, Any]] = {}
        self.then: list[Callable[[], None]] = []
        self.looks = 0
        self.time = 0.0
        self.arrives = True

    def source(self, id_: int, value: int) -> None:
        self.put("shop", "user", (id_,), {"id": id_, "value": value})

    def deliver(self, id_: int) -> None:
        self.target |= self.fetch("shop", "user", [(id_,)])

    def differing(self, schema: str, table: str, rows: Mapping[Pk, Any]) -> dict[Pk, Difference]:
        self.looks += 1
        found = {pk: Difference("different") for pk, row in rows.items() if self.target.get(pk) != row}
        if self.then:
            self.then.pop(0)()
        return found

    def keys(self, schema: str, table: str) -> Iterator[Sequence[Pk]]:
        yield list(self.target)

    def place(self, schema: str, table: str) -> str:
        return table

    def left_out(self, schema: str, table: str) -> str:
        return ""

    def open(self) -> None: ...

    def mark(self) -> Callable[[], bool]:
        return lambda: self.arrives

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def settle(self, *ids: int, patience: float = 10.0) -> Settled:
        suspects = SuspectFile()
        for id_ in ids:
            suspects.add(Suspect(USER, (id_,), "different"))
        settling = Settling(
            self, self, self, patience_seconds=patience, clock=lambda: self.time, sleep=self.sleep  # type: ignore[arg-type]
        )  # fmt: skip
        return settling.settle(suspects)


@pytest.fixture
def world() -> World:
    return World()


def told(settled: Settled) -> list[tuple[Pk, bool]]:
    return [(one.pk, is_settled(one)) for one in settled.differences]


def test_a_row_that_arrives_is_no_difference(world: World):
    """Every busy table would be called wrong."""
    world.source(1, 1)
    world.then = [lambda: world.deliver(1)]
    settled = world.settle(1)
    assert told(settled) == []
    assert settled.changing == {}


def test_a_row_that_does_not_arrive_is_one_as_soon_as_all_before_has(world: World):
    """Without waiting for the whole patience: nothing can make it right any more."""
    world.source(1, 1)
    assert told(world.settle(1, patience=1e9)) == [((1,), True)]
    assert world.time == 0


def test_a_row_that_changed_and_changed_back_is_looked_at_once_more(world: World):
    """In the look behind the first mark it has the excuse of a change that is on its way."""
    world.source(1, 1)
    world.target = {(1,): {"id": 1, "value": 2}}
    world.then = [lambda: None, lambda: world.deliver(1)]
    assert told(world.settle(1)) == []


def test_a_consumer_that_stands_is_told_when_the_patience_is_over(world: World):
    """Its rows do differ; but whether they are only late, nobody can say."""
    world.source(1, 1)
    world.arrives = False
    assert told(world.settle(1, patience=7.0)) == [((1,), False)]
    assert world.time == pytest.approx(7.0)


def test_a_row_that_never_rests_is_not_judged(world: World):
    """It differs at each look because it is read at two moments; that is counted, and no difference."""
    world.arrives = False
    world.source(1, 0)
    world.then = [lambda n=n: world.source(1, n) for n in range(1, 100)]  # type: ignore[misc]
    settled = world.settle(1, patience=3.0)
    assert told(settled) == []
    assert settled.changing == {USER: 1}


# -- what suspects and sums are kept in


def test_keys_come_back_from_the_file_as_they_were():
    """A repair would write another row."""
    keys: list[Pk] = [(1, "x\n☃"), (b"\x00\xff", 0.5), (-(1 << 63), float("inf")), ("1",), ("\ud800",)]
    suspects = SuspectFile()
    for pk in keys:
        suspects.add(Suspect(USER, pk, "extra", "why", "digest", 1))
    assert [one.pk for one in suspects] == keys
    assert [type(one.pk[0]) for one in suspects] == [type(pk[0]) for pk in keys]
    assert next(iter(suspects)) == Suspect(USER, keys[0], "extra", "why", "digest", 1)


def test_sums_tell_where_sets_of_keys_differ_in_any_order():
    """One key too many among a million would pass."""
    one, other = KeySums(), KeySums()
    keys: list[Pk] = [(n,) for n in range(10_000)]
    one.add(keys)
    other.add(reversed(keys))
    assert one.unlike(other) == set()
    other.add([(-5, "ghost")])
    assert one.unlike(other) == {bucket_of((-5, "ghost"))}


# -- how far the capture is

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def checkpoint(gtids: str | None, file: str, position: int) -> Checkpoint:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    return Checkpoint("db", "mysql", "s", gtids, file, position, None, 0, None, 1, (), now, "t", now)


@pytest.mark.parametrize(
    ("captured", "end", "expected"),
    [
        ((f"{UUID}:1-9", "b.000001", 4), (f"{UUID}:1-9", "b.000002", 900), True),
        ((f"{UUID}:1-8", "b.000009", 4), (f"{UUID}:1-9", "b.000002", 900), False),
        ((None, "b.000002", 900), ("", "b.000002", 900), True),
        ((None, "b.000002", 899), ("", "b.000002", 900), False),
        ((None, "b.1000000", 4), ("", "b.999999", 900), True),
    ],
)
def test_what_is_captured_is_known_by_ids_and_else_by_the_place(
    captured: tuple[str | None, str, int], end: tuple[str, str, int], expected: bool
):
    """A mark that is passed too early calls rows different that are on their way."""
    gtids, file, offset = end
    assert covers(checkpoint(*captured), LogEnd("mysql", LogPosition(file, offset), gtids)) is expected


# -- what is printed

GOLDEN = Path(__file__).parent / "verify_summary.txt"


def test_the_summary_says_what_was_compared_and_what_was_not():
    """A table that was left out in silence would pass for equal."""
    verified = Verified(
        [
            Compared(USER, rows=1200, held=1201, ranges=3),
            Compared(TableName("shop", "log\n  x"), left_out="it has no primary key, so there are no records of it"),
        ]
    )
    for pk, kind, about, steady in [
        ((7,), "missing", "", 2),
        ((8, 'a"b'), "different", "columns name, born", 2),
        ((b"\x00\xff",), "extra", "", 0),
    ]:
        verified.differences.add(Suspect(USER, pk, kind, about, "x", steady))  # type: ignore[arg-type]
    verified.changing = {USER: 2}
    text = "\n".join([*as_objects(verified), "", *as_lines(verified, 2), *summary(verified)])
    assert text + "\n" == GOLDEN.read_text(encoding="utf-8")
