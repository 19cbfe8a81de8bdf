"""
Where a capture is, where it goes on, and where it can be told to begin.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.command import until
from tests.scenes import STARTED, Scene, both

TABLE = "CREATE TABLE test (id INT PRIMARY KEY)"


@both
def test_the_shown_checkpoint_is_where_a_resume_goes_on(scene: Scene) -> None:
    """S13.  An operator who is shown another position than the one used repairs the wrong thing."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    scene.caught_up()
    shown = json.loads(scene.command("checkpoint", "show", "--json").out)
    resumed = scene.caught_up("--log-format", "json")
    started = next(json.loads(line) for line in resumed.err.splitlines() if STARTED in line)
    assert {name: started[name] for name in ("file", "position", "gtid_set", "seq")} == {
        name: shown[name] for name in ("file", "position", "gtid_set", "seq")
    }
    assert started["first_start"] is False
    assert scene.changes() == [("write", (1,))]


@both
@pytest.mark.parametrize("kind", ["file", "gtids", "time"])
def test_a_start_after_the_first_of_three_writes_gives_the_other_two(scene: Scene, kind: str) -> None:
    """S13.  A start that is off by one transaction loses or repeats it."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    start = {"file": scene.server.end, "gtids": scene.server.executed, "time": lambda: _now(scene)}[kind]()
    scene.run("INSERT INTO test VALUES (2)", "INSERT INTO test VALUES (3)")
    scene.caught_up("--start", start)
    assert scene.changes() == [("write", (2,)), ("write", (3,))]


def _now(scene: Scene) -> str:
    """The server's time; a whole second that has just begun on MariaDB, whose log knows whole seconds only."""

    def now() -> datetime:
        seconds = float(scene.ask("SELECT UNIX_TIMESTAMP(NOW(6)) AS t")[0]["t"])
        return datetime.fromtimestamp(seconds, UTC)

    if scene.server.flavor == "mysql":
        return now().isoformat()
    first = now().replace(microsecond=0)
    return (
        until(lambda: (now().replace(microsecond=0) > first and now()) or None, "the next second")
        .replace(microsecond=0)
        .isoformat()
    )


def test_a_start_at_the_end_gives_what_comes_after(scene: Scene) -> None:
    """`--start latest` is the default, and means: from now on."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    scene.capture("--start", "latest")
    scene.run("INSERT INTO test VALUES (2)")
    assert scene.wait_for(1) == [("write", (2,))]


@pytest.mark.parametrize("start", ["yesterday", "2026-01-31T12:00:00", "nowhere.000001:4", "binlog.000001:99999999999"])
def test_a_start_that_cannot_be_is_refused(scene: Scene, start: str) -> None:
    """A start that is guessed at leaves a gap nobody knows of."""
    outcome = scene.once("--start", start)
    assert outcome.code == 2
    assert "start is" in outcome.complaint
