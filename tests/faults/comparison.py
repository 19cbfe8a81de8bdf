"""
The whole history in Kafka against the whole history on the server.

Final states alone catch none of the planted faults: a row that was written twice is there once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from meepo2_cdc.config import TopicsSettings
from meepo2_cdc.records import KeyPart, TableAction
from tests import history, oracle
from tests.history import Change, Read
from tests.scenes import Scene

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many records there are, how many are lost and repeated, and what is wrong, in words."""

    records: int
    lost: int
    repeated: int
    wrong: list[str]

    def __str__(self) -> str:
        return f"{self.records} records, {self.lost} lost, {self.repeated} repeated"


def differences(scene: Scene) -> list[str]:
    """What is wrong, in words; empty when nothing is."""
    return compare(scene).wrong


def compare(scene: Scene) -> Comparison:
    """All that is committed under the scene's prefix against all that its server's log tells of its database."""
    reads = scene.reads()
    actions = history.actions(reads)
    told = oracle.truth(scene.server, scene.database)
    truth = {table: list(_in_every_partition(changes)) for table, changes in told.items()}
    assert sum(map(len, truth.values())) > 0, "the load did nothing, and proves nothing"
    wrong = [
        *_of_seq(actions),
        *_of_order(reads),
        *(line for table, changes in truth.items() for line in _of_table(scene, actions, table, changes)),
    ]
    wanted = Counter((table, change) for table, changes in truth.items() for change in changes)
    found = Counter((one.table, (one.action.value, one.pk)) for one in actions)
    return Comparison(len(actions), (wanted - found).total(), (found - wanted).total(), wrong)


def _in_every_partition(changes: Iterable[Change]) -> Iterator[Change]:
    """A truncate has a record in each partition of its topic."""
    for change in changes:
        yield from [change] * (TopicsSettings().partitions if change == oracle.TRUNCATED else 1)


def _by_key(ordered: Iterable[Change]) -> dict[tuple[KeyPart, ...], list[str]]:
    """What happened to each key, in order; a truncate happened to all that there had been, however often in a row."""
    found: dict[tuple[KeyPart, ...], list[str]] = defaultdict(list)
    for action, pk in ordered:
        if (action, pk) != oracle.TRUNCATED:
            found[pk].append(action)
        else:
            for one in found.values():
                one.extend([action] if one[-1] != action else [])
    return dict(found)


def _of_seq(actions: list[TableAction]) -> Iterator[str]:
    """Numbers must follow one another, from the first to the last."""
    seqs = [action.seq for action in actions]
    repeated = [seq for seq, count in Counter(seqs).items() if count > 1]
    missing = sorted(set(range(seqs[0], seqs[-1] + 1)) - set(seqs)) if seqs else []
    if repeated:
        yield f"seq: {len(repeated)} numbers are there more than once, such as {repeated[:_SHOWN]}"
    if missing:
        yield f"seq: {len(missing)} numbers are missing, such as {missing[:_SHOWN]}"


def _of_order(reads: list[Read]) -> Iterator[str]:
    """Within a partition, offsets and seq must rise together."""
    for before, after in pairwise(reads):
        if before[:2] == after[:2] and before.action and after.action and before.action.seq >= after.action.seq:
            yield f"order: seq {after.action.seq} follows {before.action.seq} in {after.topic}[{after.partition}]"
            return


def _of_table(scene: Scene, actions: list[TableAction], table: str, truth: list[Change]) -> Iterator[str]:
    ours = [(one.action.value, one.pk) for one in actions if one.table == table]
    wanted, found = Counter(truth), Counter(ours)
    if wanted != found:
        lost, repeated = wanted - found, found - wanted
        yield f"{table}: {lost.total()} lost, such as {list(lost)[:_SHOWN]}"
        yield f"{table}: {repeated.total()} too many, such as {list(repeated)[:_SHOWN]}"
    should, are = _by_key(truth), _by_key(ours)
    wrong = [pk for pk in should.keys() | are.keys() if should.get(pk) != are.get(pk)]
    if wrong:
        yield f"{table}: {len(wrong)} keys have another history, such as {wrong[:_SHOWN]}"
    if history.folded(ours) != (rows := _rows(scene, table)):
        yield f"{table}: {len(history.folded(ours) ^ rows)} rows differ from SELECT"


def _rows(scene: Scene, table: str) -> set[tuple[int | str, ...]]:
    places = oracle.key_columns(scene.server, scene.database)[table]
    return {tuple(list(row.values())[place - 1] for place in places) for row in scene.ask(f"SELECT * FROM {table}")}
