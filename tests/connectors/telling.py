"""
What the tests of connectors that tell have in common: the way from a changed row to the installed command, and what
their READMEs show.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meepo2_cdc.records import Action, KeyPart, TableAction
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.replay.lanes import Retries, Route
from meepo2_cdc.replay.runner import Runner
from meepo2_cdc.replay.sink import Sink
from meepo2_cdc.testing import InMemoryFeed, SetAsideRecords
from tests.acceptance import tutorial
from tests.command import COMMAND, Running, until
from tests.scenes import Scene

CONNECTORS = Path(__file__).parents[2] / "connectors" / "meepo2_connectors"
Pk = tuple[KeyPart, ...]


class Heard:
    """What arrived, from whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: list[Any] = []

    def add(self, one: Any) -> None:
        with self._lock:
            self._changes.append(one)

    def so_far(self) -> list[Any]:
        with self._lock:
            return list(self._changes)

    def once(self, count: int) -> list[Any]:
        """All of it, as soon as there are so many; more than that is told too."""
        return until(lambda: found if len(found := self.so_far()) >= count else [], f"{count} changes", 20)


def change_of(fields: Mapping[str, Any]) -> tuple[Action, Pk]:
    """Action and key out of the JSON form."""
    return Action(fields["action"]), tuple(map(key_part_of, fields["pk"]))


def key_part_of(part: Any) -> KeyPart:
    """The other way round from `json_key_part`; a number with a fraction stays one."""
    import base64

    return base64.b64decode(part["base64"]) if isinstance(part, dict) else part


def replayed(sink: Sink, records: Sequence[TableAction], *, tries: int = 3, workers: int = 2) -> SetAsideRecords:
    """All records through the real runner into the sink; what was set aside."""
    aside = SetAsideRecords()
    route = Route("tested", sink, lambda _: True, workers=workers, batch_records=50)
    retries = Retries(tries, first_seconds=0.001, longest_seconds=0.01)
    Runner(InMemoryFeed(records), [route], ActionDecoder().action, aside, retries=retries).run()
    return aside


def capture_tutorial(scene: Scene) -> None:
    """The predecessor's seven statements, captured into one partition, so that there is one order of all."""
    scene.run(tutorial.TABLE, *tutorial.STATEMENTS)
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1")


@contextmanager
def connector(scene: Scene, name: str, settings: Mapping[str, str]) -> Iterator[Running]:
    """`meepo2-cdc run NAME`; killed at the end if it still runs."""
    running = Running(["run", name], {**scene.settings, **settings})
    try:
        yield running
    finally:
        running.kill()


@contextmanager
def example(
    scene: Scene, name: str, directory: Path, number: int = 0, *, replaced: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """
    The README's shell block of that number, as it stands there, run in the directory on the scene's names.

    `replaced` gives what else is called otherwise here, such as addresses.
    """
    script = shown(name, "sh")[number]
    names = {"localhost:9092": scene.kafka, "=shop ": f"={scene.prefix} ", "'shop.*'": f"'{scene.database}.*'"}
    for shown_name, real in (replaced or {}).items():
        assert shown_name in script, f"{shown_name!r} is not in the README of {name}"
        script = script.replace(shown_name, real)
    for shown_name, real in names.items():
        script = script.replace(shown_name, real)
    *first, last = script.strip().splitlines()  # exec, so that signals reach the command itself
    search = {"PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    shell = ("bash", "-ec", f'cd "{directory}"\n' + "\n".join([*first, f"exec {last}"]))
    running = Running((), search, shell)
    try:
        yield running
    finally:
        running.kill()


def shown(name: str, language: str) -> list[str]:
    """The fenced blocks of that language in the connector's README."""
    text = (CONNECTORS / name / "README.md").read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the README of {name} shows no {language}"
    return found
