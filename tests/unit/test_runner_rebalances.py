"""
The loop of a consumer application at awkward moments: stops, ends and rebalances in the middle of a batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from meepo2_cdc.kafka.offsets import Partition
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.replay import runner as module
from meepo2_cdc.replay.lanes import Route
from meepo2_cdc.replay.runner import Claims, Limits, Runner
from meepo2_cdc.testing import Changes, InMemoryMessage, SetAsideRecords
from tests.command import until

TOPIC = "meepo2.shop.user"
FIRST, SECOND = Partition(TOPIC, 0), Partition(TOPIC, 1)


@dataclass
class ScriptedFeed:
    """Gives one batch with the ends that were met behind it; tells what the runner asks of it."""

    batch: Sequence[InMemoryMessage]
    met: Sequence[tuple[Partition, int]] = ()
    on_read: Callable[[Claims], None] = lambda claims: None
    on_idle: Callable[[Claims], None] = lambda claims: None
    committed: dict[Partition, int] = field(default_factory=dict)
    given: bool = False
    ended = False

    def open(self, claims: Claims) -> None:
        self.claims = claims
        claims.assigned([FIRST, SECOND])

    def read(self, most: int, seconds: float) -> Sequence[InMemoryMessage]:
        if self.given:
            self.on_read(self.claims)
            return []
        self.given = True
        return self.batch

    def idle(self) -> None:
        self.on_idle(self.claims)

    def ends(self) -> Sequence[tuple[Partition, int]]:
        found, self.met = self.met, ()
        return found

    def commit(self, positions: Mapping[Partition, int], *, wait: bool) -> None:
        self.committed.update(positions)

    def close(self) -> None: ...


class Calling:
    """A sink that is a function."""

    def __init__(self, apply: Callable[[Sequence[TableAction]], None]) -> None:
        self.apply = apply

    def open(self) -> None: ...

    def close(self) -> None: ...


def started(feed: ScriptedFeed, apply: Callable[[Sequence[TableAction]], None], **limits: Any) -> Runner:
    """A runner with one worker, in a thread of its own."""
    routes = [Route("test", Calling(apply), lambda record: True, workers=1, batch_records=1)]
    runner = Runner(feed, routes, ActionDecoder().action, SetAsideRecords(), Limits(**limits))
    runner.thread = threading.Thread(target=runner.run, daemon=True)  # type: ignore[attr-defined]
    runner.thread.start()  # type: ignore[attr-defined]
    return runner


def ended(runner: Runner) -> None:
    runner.stop()
    runner.thread.join(30)  # type: ignore[attr-defined]
    assert not runner.thread.is_alive()  # type: ignore[attr-defined]


def at(record: TableAction, partition: Partition, offset: int) -> InMemoryMessage:
    return InMemoryMessage.of(record, offset, partition.number)


def test_an_end_behind_records_that_a_stop_left_undispatched_is_not_committed():
    """The batch is left at its truncate, but the end that was read with it would pass over the rest: a loss."""
    changes = Changes()
    begun, release = threading.Event(), threading.Event()
    applied: list[TableAction] = []

    def apply(batch: Sequence[TableAction]) -> None:
        begun.set()
        assert release.wait(30)
        applied.extend(batch)

    batch = [at(changes.write(1), FIRST, 0), at(changes.truncate(), FIRST, 1), at(changes.write(2), SECOND, 0)]
    feed = ScriptedFeed(batch, met=[(FIRST, 2), (SECOND, 1)])
    runner = started(feed, apply)
    assert begun.wait(30)
    runner.stop()
    release.set()
    ended(runner)
    assert SECOND not in feed.committed
    assert feed.committed.get(FIRST, 0) <= len(applied) <= 2


def test_records_behind_a_truncate_that_took_long_are_not_committed_before_they_are_applied(
    monkeypatch: pytest.MonkeyPatch,
):
    """A commit during the wait closes the account of the batch; what is dispatched afterwards must have a new one."""
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.0)
    changes = Changes()
    last, release = threading.Event(), threading.Event()
    records = [changes.write(1), changes.truncate(), changes.write(2), changes.write(3)]
    feed = ScriptedFeed(
        [at(records[0], SECOND, 0), at(records[1], FIRST, 0), at(records[2], FIRST, 1), at(records[3], SECOND, 1)]
    )

    def apply(batch: Sequence[TableAction]) -> None:
        if batch[0].action is Action.TRUNCATE:
            until(lambda: feed.committed.get(SECOND) == 1, "what came before was committed")
        elif batch[0].pk == (2,):
            last.set()
            assert release.wait(30)

    runner = started(feed, apply, commit_seconds=0.0, stop_seconds=0.2)
    assert last.wait(30)
    ended_early = threading.Thread(target=ended, args=(runner,))
    ended_early.start()
    until(lambda: not runner._claims, "it gave up waiting")
    release.set()
    ended_early.join(30)
    assert feed.committed[SECOND] == 1
    assert feed.committed.get(FIRST, 0) <= 1


def test_an_end_from_before_newer_records_does_not_move_the_position_back():
    """A poll can bring an end and then what was written since: the position is behind the newest of both."""
    changes = Changes()
    feed = ScriptedFeed([at(changes.write(n), FIRST, n) for n in range(5)], met=[(FIRST, 3)])
    runner = started(feed, lambda batch: None, commit_seconds=0.0)
    until(lambda: feed.committed.get(FIRST), "something is committed")
    ended(runner)
    assert feed.committed[FIRST] == 5


def test_a_rebalance_that_waits_for_its_records_does_not_poll(monkeypatch: pytest.MonkeyPatch):
    """It is called from within a poll: another one inside of it would serve the next rebalance before this one."""
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.0)
    changes = Changes()
    begun, release = threading.Event(), threading.Event()
    revoking: list[bool] = []
    nested: list[bool] = []
    positions: dict[Partition, int] = {}

    def apply(batch: Sequence[TableAction]) -> None:
        begun.set()
        assert release.wait(30)

    def revoke(claims: Claims) -> None:
        if not revoking and begun.is_set():
            revoking.append(True)
            threading.Timer(0.3, release.set).start()
            positions.update(claims.revoked([FIRST]))
            revoking.append(False)

    feed = ScriptedFeed([at(changes.write(1), FIRST, 0)], on_read=revoke)
    feed.on_idle = lambda claims: nested.append(revoking == [True])
    runner = started(feed, apply)
    until(lambda: positions, "the partition was given up")
    ended(runner)
    assert positions == {FIRST: 1}
    assert True not in nested


def test_what_is_left_of_a_batch_is_not_of_a_partition_that_went_and_came_back(monkeypatch: pytest.MonkeyPatch):
    """Its first records come again, and a commit behind the last of the batch would pass over them: a loss."""
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.0)
    changes = Changes()
    truncating, release = threading.Event(), threading.Event()
    applied: list[TableAction] = []

    def apply(batch: Sequence[TableAction]) -> None:
        if batch[0].action is Action.TRUNCATE:
            truncating.set()
            assert release.wait(30)
        applied.extend(batch)

    def rebalance(claims: Claims) -> None:
        if truncating.is_set() and not release.is_set():
            claims.lost([SECOND])
            claims.assigned([SECOND])
            release.set()

    batch = [at(changes.truncate(), FIRST, 0), at(changes.write(7), SECOND, 7), at(changes.write(8), FIRST, 1)]
    feed = ScriptedFeed(batch, on_idle=rebalance)
    runner = started(feed, apply, commit_seconds=0.0)
    until(lambda: feed.committed.get(FIRST) == 2, "the batch is done")
    ended(runner)
    assert SECOND not in feed.committed
    assert [one.pk for one in applied] == [(), (8,)]
