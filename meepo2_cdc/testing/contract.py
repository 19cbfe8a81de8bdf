"""
What every sink promises, as tests to inherit.

Two kinds: a sink that mirrors makes its target what the source is (a table, a cache, an index); a sink that tells
passes each change on (a queue, a signal, an HTTP request).  Both may get a batch again, and older records after newer
ones; the canonical sequences below are those at which replicators have failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest

from meepo2_cdc.records import Action, KeyPart, TableAction
from meepo2_cdc.replay.sink import Sink, TryAgain
from meepo2_cdc.testing.records import Changes

Pk = tuple[KeyPart, ...]

KEYS: dict[str, list[Pk]] = {
    "integers": [(0,), (1,), (-1,), (2**63 - 1,)],
    "digits above a long": [("18446744073709551615",), ("9223372036854775808",)],
    "texts": [("",), ("a",), ("hello world",), ("a\nb",), ("☃",), ("a:b",), ("a/b",), ("'\"`%",), ("é😀",)],
    "bytes": [(b"",), (b"\x00\xff",), (b"a b",)],
    "doubles": [(0.5,), (-1.25,)],
    "composite": [(1, "x y"), (1, "x"), (2, ""), (1, "1")],
}
"""Keys that have been mangled somewhere, by the kind of their columns."""


class MirrorTarget(Protocol):
    """A target and the source that it mirrors; the table is `shop.user`, its rows are made up by whoever implements."""

    def sink(self) -> Sink:
        """A new one that is not open, each time on the same target."""

    def put(self, pk: Pk) -> None:
        """Makes or changes a row of the source."""

    def remove(self, pk: Pk) -> None:
        """Takes a row out of the source."""

    def keys(self) -> set[Pk]:
        """Which rows the target holds now, their current content checked."""

    def stop(self) -> None:
        """Makes the target unreachable."""

    def start(self) -> None:
        """Brings it back."""


class MirrorContract:
    """
    Inherit, and give the fixture `target`: fresh and empty for each test.

    `kinds` are those of KEYS that the target can have as keys of one table; override it to leave some out, with a
    reason.
    """

    kinds: Sequence[str] = tuple(KEYS)

    @pytest.fixture
    def target(self) -> MirrorTarget:
        raise NotImplementedError("a contract is inherited with a fixture `target`")

    @staticmethod
    def apply(target: MirrorTarget, *batches: Sequence[TableAction]) -> None:
        """Each by a sink of its own, as after a restart."""
        for batch in batches:
            sink = target.sink()
            sink.open()
            try:
                sink.apply(batch)
            finally:
                sink.close()

    def test_a_written_row_is_there(self, target: MirrorTarget) -> None:
        """The least that a copy does."""
        target.put((1,))
        self.apply(target, [Changes().write(1)])
        assert target.keys() == {(1,)}

    def test_a_batch_that_comes_again_changes_nothing(self, target: MirrorTarget) -> None:
        """After a crash between applying and committing, everything comes again."""
        changes = Changes()
        target.put((1,))
        batch = [changes.write(1), changes.update(1), changes.write(2), changes.delete(2)]
        self.apply(target, batch, batch)
        assert target.keys() == {(1,)}

    def test_half_a_batch_that_comes_again_as_a_whole_is_no_loss(self, target: MirrorTarget) -> None:
        """A crash in the middle of a batch leaves a part of it applied."""
        changes = Changes()
        for n in range(10):
            target.put((n,))
        batch = [changes.write(n) for n in range(10)]
        self.apply(target, batch[:5], batch)
        assert target.keys() == {(n,) for n in range(10)}

    def test_an_insert_and_a_delete_leave_no_row(self, target: MirrorTarget) -> None:
        """The row is gone from the source when the write is read; that must not fail, nor leave anything."""
        changes = Changes()
        self.apply(target, [changes.write(1), changes.delete(1)])
        assert target.keys() == set()

    def test_a_deleted_row_that_was_inserted_anew_is_there(self, target: MirrorTarget) -> None:
        """The last action decides, not the kind of action."""
        changes = Changes()
        target.put((1,))
        self.apply(target, [changes.write(1), changes.delete(1), changes.write(1)])
        assert target.keys() == {(1,)}

    def test_a_changed_key_moves_the_row(self, target: MirrorTarget) -> None:
        """It comes as a delete of the old key and a write of the new one."""
        changes = Changes()
        target.put((1,))
        self.apply(target, [changes.write(1)])
        target.remove((1,))
        target.put((2,))
        self.apply(target, [changes.delete(1), changes.write(2)])
        assert target.keys() == {(2,)}

    def test_old_records_do_not_bring_a_deleted_row_back(self, target: MirrorTarget) -> None:
        """A replay from an early offset begins with the writes of rows that are long gone."""
        changes = Changes()
        early = [changes.write(1), changes.update(1)]
        target.put((1,))
        self.apply(target, early)
        target.remove((1,))
        self.apply(target, [changes.delete(1)], early)
        assert target.keys() == set()

    def test_an_old_delete_does_not_remove_a_row_that_came_back(self, target: MirrorTarget) -> None:
        """The other way round: the replayed delete is older than the row."""
        changes = Changes()
        target.put((1,))
        deleted = changes.delete(1)
        self.apply(target, [deleted, changes.write(1)], [deleted])
        assert target.keys() == {(1,)}

    def test_a_truncate_removes_what_the_source_no_longer_has(self, target: MirrorTarget) -> None:
        """It comes once for each partition, perhaps after rows that were inserted since."""
        changes = Changes()
        for n in range(5):
            target.put((n,))
        self.apply(target, [changes.write(n) for n in range(5)])
        for n in range(4):
            target.remove((n,))
        self.apply(target, [changes.truncate()], [changes.truncate()])
        assert target.keys() == {(4,)}

    def test_keys_of_every_kind_are_kept_apart(self, target: MirrorTarget, kind: str) -> None:
        """A key that is turned into text and back must not become another one."""
        changes = Changes()
        for pk in KEYS[kind]:
            target.put(pk)
        self.apply(target, [changes.write(*pk) for pk in KEYS[kind]])
        assert target.keys() == set(KEYS[kind])
        target.remove(KEYS[kind][0])
        self.apply(target, [changes.delete(*KEYS[kind][0])])
        assert target.keys() == set(KEYS[kind][1:])

    def test_a_target_that_is_away_is_no_loss(self, target: MirrorTarget) -> None:
        """The batch must come again when the target is back, so the sink says TryAgain and nothing else."""
        changes = Changes()
        target.put((1,))
        sink = target.sink()
        sink.open()
        try:
            target.stop()
            with pytest.raises(TryAgain) as caught:
                sink.apply([changes.write(1)])
            assert not caught.value.records, "a target that is away concerns all records, not one"
            target.start()
            sink.apply([changes.write(1)])
        finally:
            sink.close()
        assert target.keys() == {(1,)}


class TellingTarget(Protocol):
    """Somebody who is told; the table is `shop.user`."""

    def sink(self) -> Sink:
        """A new one that is not open, each time for the same listener."""

    def told(self, count: int) -> list[tuple[Action, Pk]]:
        """What arrived, in order, once there are `count`; fails after a deadline."""

    def stop(self) -> None:
        """Makes the listener unreachable."""

    def start(self) -> None:
        """Brings it back."""


class TellingContract:
    """Inherit, and give the fixture `target`, fresh for each test."""

    kinds: Sequence[str] = tuple(KEYS)
    notices_absence = True
    """Whether the sink can know that nobody listens; False where the protocol does not tell, such as UDP or PUB."""

    @pytest.fixture
    def target(self) -> TellingTarget:
        raise NotImplementedError("a contract is inherited with a fixture `target`")

    def test_every_change_is_told_in_order(self, target: TellingTarget) -> None:
        """A listener that counts, or keeps a log, needs each of them."""
        changes = Changes()
        batch = [changes.write(1), changes.update(1), changes.delete(1), changes.write(1), changes.truncate()]
        sink = target.sink()
        sink.open()
        try:
            sink.apply(batch)
            assert target.told(len(batch)) == [(one.action, one.pk) for one in batch]
        finally:
            sink.close()

    def test_keys_of_every_kind_are_told_as_they_are(self, target: TellingTarget, kind: str) -> None:
        """A key that is turned into text and back must not become another one."""
        changes = Changes()
        sink = target.sink()
        sink.open()
        try:
            sink.apply([changes.write(*pk) for pk in KEYS[kind]])
            assert [pk for _, pk in target.told(len(KEYS[kind]))] == KEYS[kind]
        finally:
            sink.close()

    def test_a_listener_that_is_away_is_no_loss(self, target: TellingTarget) -> None:
        """The batch must come again when it is back, so the sink says TryAgain and nothing else."""
        if not self.notices_absence:
            return
        changes = Changes()
        sink = target.sink()
        sink.open()
        try:
            target.stop()
            batch = [changes.write(1)]
            with pytest.raises(TryAgain):
                sink.apply(batch)
            target.start()
            sink.apply(batch)
            assert (Action.WRITE, (1,)) in target.told(1)
        finally:
            sink.close()
