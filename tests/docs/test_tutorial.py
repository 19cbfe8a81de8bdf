"""
The tutorial, as a reader would do it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.command import COMMAND, Running, environment, until
from tests.docs.documented import Block, blocks
from tests.scenes import STARTED, Server

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BEGUN = {"capture": STARTED, "run": "Partitions were assigned"}
SECONDS = 60


class Reader:
    """Follows a page in a folder of their own, under names that nobody else has."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self._folder = folder
        self._addresses = addresses
        self._variables = environment(addresses) | {"PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
        self._name = f"tutorial_{uuid.uuid4().hex[:8]}"
        self._exports: list[str] = []
        self.stack = ExitStack()

    def follow(self, block: Block) -> None:
        if block.how == "background":
            self._start(block)
        elif block.output is None:
            self._run(block.text)
        else:
            expected = self._renamed(block.output)
            until(lambda: self._run(block.text) == expected, f"{block.text} prints {expected}")

    def _run(self, text: str) -> str:
        own = self._renamed(text)
        ended = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", "\n".join([*self._exports, own])], cwd=self._folder,
            env=self._variables, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{own}\n{ended.stdout}{ended.stderr}"
        self._exports += [line for line in own.splitlines() if line.startswith("export ")]
        return ended.stdout

    def _start(self, block: Block) -> None:
        program, *arguments = shlex.split(self._renamed(block.text))
        assert program == "meepo2-cdc"
        shell = ["bash", "-c", "\n".join(["cd " + shlex.quote(str(self._folder)), *self._exports, 'exec "$@"']), "bash"]
        one = Running(arguments, self._addresses, [*shell, str(COMMAND)])
        self.stack.callback(one.kill)
        one.wait_for(BEGUN[arguments[0]])

    def _renamed(self, text: str) -> str:
        return text.replace("tutorial", self._name)


@pytest.fixture
def reader(tmp_path: Path, mysql: Server, kafka: str, redis_url: str) -> Iterator[Reader]:
    addresses = {"MEEPO2_TEST_MYSQL_DSN": mysql.dsn, "MEEPO2_TEST_KAFKA": kafka, "MEEPO2_TEST_REDIS_URL": redis_url}
    made = Reader(tmp_path, addresses)
    with made.stack:
        yield made


def test_the_tutorial_works_as_it_is_written(reader: Reader) -> None:
    """The first ten minutes decide; whoever meets an error in them does not come back."""
    found = blocks(PAGE)
    to_run = [one for one in found if one.how in ("run", "background")]
    assert [one.how for one in to_run].count("background") == 2
    (cleanup,) = (one for one in found if one.how == "cleanup")
    try:
        for one in to_run:
            reader.follow(one)
    finally:
        reader.stack.close()
        reader.follow(cleanup)


def test_what_is_not_run_of_the_tutorial_is_there() -> None:
    """Its first and its last lines are targets of the Makefile, and files that those make."""
    others = "".join(one.text for one in blocks(PAGE) if not one.how)
    makefile = (PAGE.parents[1] / "Makefile").read_text(encoding="utf-8")
    lines = others.splitlines()
    assert lines == [
        'make services S="mysql kafka redis"',
        ". .venv/bin/activate",
        ". .services/env",
        "make services-stop",
    ]
    assert all(f"\n{line.split()[1]}:" in makefile for line in lines if line.startswith("make "))
