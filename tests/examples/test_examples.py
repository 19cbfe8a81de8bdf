"""
Each example's command, run as its README says, and what must come of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from meepo2_cdc.config import load

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(one.parent.name for one in EXAMPLES.glob("*/README.md"))
SECONDS = 240
TUTORIAL = [
    *(f"test_write {n}" for n in (1, 2, 3, 4)), *(f"test_update {n}" for n in (1, 2, 2, 3, 4)),
    *(f"test_delete {n}" for n in (2, 3, 4, 1)),
]  # fmt: skip


def run(name: str, *arguments: str) -> list[str]:
    """What the example printed; it must succeed, and say nothing but that."""
    command = [sys.executable, "-m", f"examples.{name}", *arguments]
    ended = subprocess.run(
        command, cwd=EXAMPLES.parent, env=dict(os.environ), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def test_every_example_has_a_test() -> None:
    """One that nobody runs does not work any more when somebody needs it."""
    assert NAMES == ["event_sourcing", "repl_db", "repl_elasticsearch", "repl_redis", "tutorial"]


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_commands_and_settings_that_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader copies from it."""
    for variable in ("SOURCE", "KAFKA", "REDIS", "ELASTICSEARCH", "TARGET"):
        monkeypatch.setenv(variable, "mysql://root@h/" if variable == "SOURCE" else "h:1")
    text = (EXAMPLES / name / "README.md").read_text()
    assert f"python -m examples.{name}" in text
    for path in re.findall(r"\]\(([^)#]+)\)", text):
        assert (EXAMPLES / name / path).exists(), path
    assert load(config=EXAMPLES / name / "settings.toml").run.group == f"example-{name}.example"


def test_the_tutorial_prints_the_true_names_in_their_order() -> None:
    """S86, S87, S89.  The predecessor's printed the last event's name for all, and needed a table made by hand."""
    assert [line for line in run("tutorial") if line.startswith("test_")] == TUTORIAL


def test_the_tutorial_with_sqlalchemy_prints_what_its_sessions_did() -> None:
    """S86."""
    told = [line for line in run("tutorial", "sqlalchemy") if line.startswith("test_")]
    assert told == ["test_write 1", "test_write 2", "test_write 3", "test_update 2", "test_delete 3"]


def test_repl_db_copies_rows_and_a_changed_key() -> None:
    """S80, S82.  As shipped, the predecessor's replicated nothing; repaired, it left the old key's row behind."""
    lines = run("repl_db", "--once")
    copied = next(line for line in lines if line.startswith("SQLite: "))
    assert copied == "SQLite: [(1, 'aa'), (2, 'cc'), (4, 'cc'), (30, 'cc')]"
    assert f"source: {copied.removeprefix('SQLite: ')}" in lines


def test_repl_redis_holds_each_row_until_it_is_deleted() -> None:
    """S83."""
    lines = run("repl_redis")
    assert 'example-repl_redis:example_repl_redis.test:1 = {"id":1,"data":"aa"}' in lines
    assert lines[-1] == "no row is left in Redis"


def test_repl_elasticsearch_finds_the_rows_that_there_are() -> None:
    """S84."""
    found = [line for line in run("repl_elasticsearch") if line.startswith("_id ")]
    assert found[:4] == [
        f'_id {n}: {{"id": {n}, "data": "{data}"}}' for n, data in enumerate(("aa", "bb", "c", "d"), 1)
    ]
    assert found[4:] == ['_id 1: {"id": 1, "data": "aa"}']


def test_event_sourcing_tells_what_changed_since_and_a_restart_keeps_it() -> None:
    """S85."""
    lines = run("event_sourcing")
    asked = next(line for line in lines if line.startswith("$ python -m examples.event_sourcing since "))
    told = [line for line in lines if line.startswith("test_")]
    assert told[:5] == [f"test_write {n}" for n in (1, 2, 3, 4, 9)]
    assert set(told) == {*TUTORIAL, "test_write 9"}
    assert run("event_sourcing", "since", asked.split()[-1]) == told
