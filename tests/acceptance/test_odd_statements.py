"""
Hundreds of statements that nobody expects, with a row of another table behind each of them.

There is no SQL parser in the capture that could stop at them; this shows it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from meepo2_cdc.records import KeyPart
from tests.acceptance.conftest import ServerNamed
from tests.history import changes, folded
from tests.scenes import MakeScene, Scene
from tests.sources import OPTIONAL, REQUIRED, known_sources

FILE = Path(__file__).with_name("odd_statements.sql")
LEAST = 200
_ONLY, _REMARK = "#: only ", "#:"
_OTHERWISE = {
    "dated": "a TIMESTAMP is in UTC in the log, and in the zone of the session here",
    "listed": "of a partition that was emptied the record only says that the table lost rows",
    "liked": "on MariaDB it is replaced by another table, of which no record tells",
    **dict.fromkeys(("表の表", "with  two", "dot..ted", "$$"), "the rows from before it was renamed have its old name"),
}
"""Tables that a replica which only follows the records does not have as the server has them, and why."""


def statements(server: str) -> list[str]:
    """Those that the server knows; ValueError for one that is for an unknown server, and so would never run."""
    found: list[tuple[str, frozenset[str]]] = []
    only = every = frozenset((*REQUIRED, *OPTIONAL))
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line[:1].isspace():
            text, servers = found.pop()
            found.append((f"{text}\n{line}", servers))
        elif line.startswith(_ONLY):
            only = frozenset(line.removeprefix(_ONLY).split())
            if not only <= every:
                raise ValueError(f"{FILE.name}: {line}")
        elif line and not line.startswith(_REMARK):
            found.append((line, only))
            only = every
    return [text for text, servers in found if server in servers]


def run(scene: Scene, odd: list[str]) -> None:
    """Each in one session, and behind each, from another one, a row with its number; none of them may be refused."""
    with (
        scene.server.connect(scene.database) as session,
        session.cursor() as cursor,
        scene.server.connect(scene.database) as other,
        other.cursor() as beat,
    ):
        for number, statement in enumerate(odd):
            cursor.execute(statement.replace("${db}", scene.database))
            while cursor.nextset():
                pass
            beat.execute("INSERT INTO beat VALUES (%s)", (number,))


@pytest.mark.parametrize("server", known_sources())
def test_odd_statements_stop_nothing_and_change_no_row_around_them(
    server: str, server_named: ServerNamed, make_scene: MakeScene
) -> None:
    """A capture that has to understand each statement in the log ends at the first one that is new to it."""
    scene = make_scene(server_named(server))
    odd = statements(server)
    assert len(odd) >= LEAST
    scene.run("CREATE TABLE beat (id INT PRIMARY KEY)")
    capture = scene.capture()
    run(scene, odd)
    assert capture.runs, capture.said
    capture.kill()
    scene.caught_up()
    reads = scene.reads()
    assert changes(reads, "beat") == [("write", (number,)) for number in range(len(odd))]
    there = rows(scene)
    assert {table: folded(changes(reads, f"{scene.database}.{table}")) for table in there} == there


def rows(scene: Scene) -> dict[str, set[tuple[KeyPart, ...]]]:
    """By table, the keys that the server has."""
    keys: dict[str, list[str]] = {}
    for row in scene.ask(
        "SELECT TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.STATISTICS"
        f" WHERE TABLE_SCHEMA = '{scene.database}' AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"
    ):
        keys.setdefault(row["t"], []).append(row["c"])
    return {table: _keys(scene, table, columns) for table, columns in keys.items() if table not in _OTHERWISE}


def _keys(scene: Scene, table: str, columns: list[str]) -> set[tuple[KeyPart, ...]]:
    listed = ", ".join(quoted(column) for column in columns)
    found = scene.ask(f"SELECT {listed} FROM {quoted(table)}")
    return {tuple(part if isinstance(part, int) else str(part) for part in row.values()) for row in found}


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
