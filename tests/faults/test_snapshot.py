"""
Snapshots while twelve sessions write, and while captures and servers die.

The history of each key is compared: a final state that is right by luck would hide a row that came back for a moment.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from meepo2_cdc.records import Action, KeyPart, Source, TableAction
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.snapshot import Snapshot
from tests import history
from tests.faults.owned import LONG, Owned, either
from tests.faults.watching import checkpoints, wait_for_progress
from tests.scenes import Scene
from tests.toggling import toggled

KEYS = 40_000 if LONG else 4000
CHUNK_ROWS = 4
KILLS = 3
SECONDS = 600.0 if LONG else 90.0


def filled(scene: Scene) -> None:
    """Every second key is there before anything is captured."""
    scene.run("CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL DEFAULT 0)")
    scene.run(f"INSERT INTO t (id) VALUES {', '.join(f'({key})' for key in range(0, KEYS, 2))}")
    scene.settings["MEEPO2_CAPTURE_START"] = "latest"


def asked_for(scene: Scene, *flags: str) -> str:
    """The id of a snapshot of the table, which the capture has heeded."""
    outcome = scene.command("snapshot", f"{scene.database}.t", "--no-wait", *flags)
    assert outcome.code == 0, outcome.err
    return outcome.err.split()[-1]


def snapshot_in(found: Checkpoint | None, which: str) -> Snapshot | None:
    return next((one for one in found.snapshots if one.id == which), None) if found is not None else None


def rows_in(found: Checkpoint, which: str) -> int:
    one = snapshot_in(found, which)
    return one.rows_so_far if one is not None else 0


def is_over(found: Checkpoint, which: str) -> bool:
    one = snapshot_in(found, which)
    return one is not None and one.is_over


def faults_of(actions: Iterable[TableAction], rows: set[int]) -> list[str]:
    """What is wrong with the history of any key, and with what it comes to; `rows` are the source's."""
    wrong: list[str] = []
    there: dict[KeyPart, bool] = {}
    read: Counter[KeyPart] = Counter()
    for action in actions:
        (key,) = action.pk
        if action.snapshot:
            read[key] += 1
            if there.get(key) is False:
                wrong.append(f"{key} comes back behind its delete, with seq {action.seq}")
        there[key] = action.action is not Action.DELETE
    told = {key for key, is_there in there.items() if is_there}
    wrong += [f"ghost {key}" for key in told - rows] + [f"missing {key}" for key in rows - told]
    return wrong + [f"{key} is read {count} times" for key, count in read.items() if count > 1]


@either
def test_no_row_of_a_snapshot_overtakes_a_later_change_whoever_dies(scene: Scene, owned: Owned) -> None:
    """
    Hundreds of chunks between twelve writers.  A row that is read before its delete and told behind it stays in every
    target for ever; one that is told twice, or not at all, after a crash is no better.
    """
    dice = random.Random(7)  # noqa: S311 - moments, not secrets
    filled(scene)
    capture = scene.capture()
    with toggled(scene, "t", KEYS) as load, checkpoints(scene, SECONDS) as wait:
        which = asked_for(scene, "--chunk-rows", str(CHUNK_ROWS))
        for at in sorted(dice.randrange(KEYS // 20, KEYS // 3) for _ in range(KILLS)):
            wait(lambda one, at=at: rows_in(one, which) >= at, f"with {at} rows read")  # type: ignore[misc]
            capture.kill()
            capture = scene.capture()
        wait_for_progress(scene)  # a capture that only starts is not yet one that goes on by itself
        owned.process.kill()
        owned.process.start()
        wait(lambda one: is_over(one, which), "with the snapshot over")
        assert load.transactions > 1000
    outcome = capture.stop()
    assert outcome.code == 0, outcome.err
    scene.caught_up()
    one = snapshot_in(scene.checkpoint(), which)
    assert one is not None
    assert [table.outcome.value for table in one.ended] == ["done"]
    assert one.rows / CHUNK_ROWS > KEYS / 2 / CHUNK_ROWS * 0.9
    assert faults_of(history.actions(scene.reads()), {int(row["id"]) for row in scene.ask("SELECT id FROM t")}) == []


def record(seq: int, action: Action, *, snapshot: bool = False) -> TableAction:
    return TableAction(action, "s", "t", (1,), datetime.now(UTC), snapshot, seq, Source("db", None, None, None, 0))


def test_the_judge_sees_what_is_wrong_with_a_history() -> None:
    """One that finds nothing in anything would pass every snapshot."""
    read = record(2, Action.WRITE, snapshot=True)
    assert faults_of([read], {1}) == []
    assert faults_of([record(1, Action.DELETE), read], {1}) == ["1 comes back behind its delete, with seq 2"]
    assert faults_of([read], set()) == ["ghost 1"]
    assert faults_of([], {1}) == ["missing 1"]
    assert faults_of([read, replace(read, seq=3)], {1}) == ["1 is read 2 times"]
