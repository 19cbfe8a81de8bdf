"""
The replicator into SQL databases: the contract, its settings, and the command with both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, make_url
from sqlalchemy.dialects import mysql

import meepo2_connectors.sql_replicator
from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.connectors import choose
from meepo2_cdc.replay.sink import Sink
from meepo2_cdc.testing import InMemoryRows, MirrorContract
from meepo2_connectors.sql_replicator import connector
from meepo2_connectors.sql_replicator.settings import Settings
from tests.acceptance import tutorial
from tests.command import Running, run, until
from tests.connectors import sql_targets
from tests.connectors.redis_crashes import QUICK, SECONDS, SEED, SUCCESSOR, kill_at_random
from tests.connectors.sql_replication import (
    Pk,
    opened,
    sink,
    source_table,
)
from tests.connectors.sql_targets import Link, TargetDatabase
from tests.connectors.telling import example
from tests.scenes import MakeScene, Scene, Server
from tests.services import native

FOLDER = Path(meepo2_connectors.sql_replicator.__file__).parent
PASSWORDS = {"SOURCE_PASSWORD": "x", "TARGET_PASSWORD": "x"}


# -- the contract

EXACT = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
KEY_COLUMNS: dict[str, list[Callable[[], mysql.BIGINT | Any]]] = {
    "integers": [mysql.BIGINT],
    "digits above a long": [lambda: mysql.BIGINT(unsigned=True)],
    "texts": [lambda: mysql.VARCHAR(100, **EXACT)],
    "bytes": [lambda: mysql.VARBINARY(100)],
    "doubles": [mysql.DOUBLE],
    "composite": [mysql.BIGINT, lambda: mysql.VARCHAR(100, **EXACT)],
}


class Mirror:
    """A table of made-up rows, each with a text that differs from put to put."""

    def __init__(self, target: TargetDatabase, link: Link, kind: str) -> None:
        self._target, self._link, self._kind = target, link, kind
        self._key = [f"k{n}" for n in range(len(KEY_COLUMNS[kind]))]
        columns = [
            Column(name, make(), nullable=False) for name, make in zip(self._key, KEY_COLUMNS[kind], strict=True)
        ]
        table = source_table(*columns, Column("data", mysql.TEXT(**EXACT)), key=self._key)
        self._rows = InMemoryRows([table])
        self._held: dict[Pk, str] = {}
        self._numbers = count()

    def sink(self) -> Sink:
        return sink(self._link.url, self._rows, on_missing_table="create")

    def put(self, pk: Pk) -> None:
        self._held[pk] = f"row {next(self._numbers)} ☃"
        values = [int(part) for part in pk] if self._kind == "digits above a long" else pk
        self._rows.put("shop", "user", pk, {**dict(zip(self._key, values, strict=True)), "data": self._held[pk]})

    def remove(self, pk: Pk) -> None:
        self._rows.remove("shop", "user", pk)
        del self._held[pk]

    def keys(self) -> set[Pk]:
        name = self._target.quote("user")
        found = {self._pk(row[:-1]): row[-1] for row in sql_targets.rows_of(self._target, name, [*self._key, "data"])}
        assert all(self._held.get(pk, data) == data for pk, data in found.items())
        return set(found)

    def _pk(self, values: Sequence[Any]) -> Pk:
        if self._kind == "digits above a long":
            return tuple(str(int(one)) for one in values)
        return tuple(bytes(one) if self._kind == "bytes" else one for one in values)

    def stop(self) -> None:
        self._link.close()

    def start(self) -> None:
        self._link.open()


class TestMirror(MirrorContract):
    @pytest.fixture
    def target(self, database: TargetDatabase, request: pytest.FixtureRequest) -> Iterator[Mirror]:
        kind = request.node.callspec.params.get("kind", "integers")
        with ExitStack() as stack:
            yield Mirror(database, Link(database, stack), kind)


# -- settings


def test_the_example_is_complete_and_loads():
    """A setting that is missing from it is not found."""
    settings, own = load_with("sql_replicator", Settings, config=FOLDER / "example.toml", environment=PASSWORDS)
    assert settings.prefix == "shop"
    assert own.model_fields_set == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"target_url": "secret-of-a-test"}, "expected a URL"),
        ({"target_url": "nosuchdb://u:secret-of-a-test@h/d"}, "no SQLAlchemy dialect"),
        ({"target_url": "sqlite://"}, "a SQLite target is a file"),
        ({"target_url": "sqlite:////x", "tables": "{"}, "JSON object"),
        ({"target_url": "sqlite:////x", "tables": '{"a.b": "a.b.c"}'}, "is no name of a table"),
        ({}, "target_url"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, str], complaint: str):
    """Before anything is read, and without the password."""
    given = {f"MEEPO2_SQL_REPLICATOR_{name.upper()}": value for name, value in wrong.items()}
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_with("sql_replicator", Settings, environment=given)
    assert "secret-of-a-test" not in str(caught.value)


def test_a_target_that_refuses_the_account_is_for_a_person(postgres: TargetDatabase):
    """Trying for ever would hide it; the password must not get into a log."""
    url = make_url(postgres.url).set(password="secret-of-a-test")  # noqa: S106
    for wrong in (url, url.set(username="nobody"), make_url(postgres.url).set(database="secret-of-a-test")):
        with pytest.raises(ConfigError), opened(wrong.render_as_string(hide_password=False), InMemoryRows()):
            pass
    with pytest.raises(ConfigError) as caught, opened(url.render_as_string(hide_password=False), InMemoryRows()):
        pass
    assert "secret-of-a-test" not in str(caught.value)


def test_it_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch):
    """By the entry point, as the command finds it."""
    monkeypatch.setenv("MEEPO2_SQL_REPLICATOR_TARGET_URL", "sqlite:////x")
    assert choose("sql_replicator").connector is connector


# -- the command, from a source to the target

CHANGES = [
    *tutorial.STATEMENTS[:5],
    "UPDATE test SET id = 30 WHERE id = 3",
    "INSERT INTO test (data, more) VALUES ('gone', 1)",
    "DELETE FROM test WHERE data = 'gone'",
    "INSERT INTO other VALUES (1)",
]


@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_a_replay_copies_the_tables_and_a_second_one_changes_nothing(scene: Scene, kind: str, tmp_path: Path):
    """S80, S81, S82.  Ids that change move their row; what the target lacks is passed over; repeats are no errors."""
    scene.run(tutorial.TABLE, "ALTER TABLE test ADD more INT", "CREATE TABLE other (id INT PRIMARY KEY)", *CHANGES)
    scene.caught_up()
    with sql_targets.database(kind, tmp_path) as database:
        database.run("CREATE TABLE test (id INT PRIMARY KEY, data VARCHAR(256))")
        settings = {**scene.settings, "MEEPO2_SQL_REPLICATOR_TARGET_URL": database.url}
        wanted = sorted(((row["id"], row["data"]) for row in scene.ask("SELECT id, data FROM test")), key=repr)
        assert {id_ for id_, _ in wanted} == {1, 2, 4, 30}
        for _ in range(2):
            outcome = run("replay", "sql_replicator", "--from-offset", "earliest", settings=settings)
            assert outcome.code == 0, outcome.err
            assert sql_targets.rows_of(database, "test") == wanted
            assert "error" not in outcome.err.lower()
            assert outcome.err.count("The target has no such table") == 1


@pytest.mark.parametrize("dsn", ["postgresql://u:secret-of-a-test@h/d", ""])
def test_a_source_that_cannot_be_read_is_for_a_person(scene: Scene, dsn: str, tmp_path: Path):
    """S82.  An assertion told nobody what to do."""
    scene.run(tutorial.TABLE, *tutorial.STATEMENTS)
    scene.caught_up()
    url = f"sqlite:///{tmp_path}/target.db"
    settings = {**scene.settings, "MEEPO2_SOURCE_DSN": dsn, "MEEPO2_SQL_REPLICATOR_TARGET_URL": url}
    outcome = run("replay", "sql_replicator", "--from-offset", "earliest", settings=settings)
    assert outcome.code == 2
    assert "source" in outcome.complaint
    assert "secret-of-a-test" not in outcome.err


def test_the_commands_of_the_readme_copy_a_shop(scene: Scene, tmp_path: Path):
    """Who follows it must get what it says."""
    scene.run("CREATE TABLE user (id INT PRIMARY KEY, name VARCHAR(40))", "INSERT INTO user VALUES (1, 'ann')")
    scene.caught_up()
    place = f"sqlite:///{tmp_path}/replica.db"
    replaced = {"sqlite:////tmp/replica.db": place, "mysql://cdc:secret@db1:3306/": scene.server.dsn}
    with example(scene, "sql_replicator", tmp_path, replaced=replaced):
        database = TargetDatabase("sqlite", make_url(place))
        until(lambda: (tmp_path / "replica.db").exists() and has_table(database), "the table is there")
        until(lambda: database.ask("SELECT * FROM user") == [(1, "ann")], "the row is there")
        scene.run("DELETE FROM user")
        scene.caught_up()
        until(lambda: database.ask("SELECT * FROM user") == [], "the row is gone")


def has_table(database: TargetDatabase) -> bool:
    return bool(database.ask("SELECT name FROM sqlite_master WHERE name = 'user'"))


def test_the_target_equals_the_source_after_kills_of_both_ends(
    own_mysql: Server, make_scene: MakeScene, tmp_path: Path
):
    """kill -9 of the connector and of PostgreSQL at random moments of a load; then every row is compared."""
    scene = make_scene(own_mysql)
    with native.postgres(tmp_path) as server, ExitStack() as running:
        settings = {
            **scene.settings, **QUICK, "MEEPO2_RUN_COMMIT_INTERVAL_MS": "100",
            "MEEPO2_SQL_REPLICATOR_TARGET_URL": server.url,
            "MEEPO2_SQL_REPLICATOR_ON_MISSING_TABLE": "create",
        }  # fmt: skip

        def launch(**more: str) -> Running:
            one = Running(["run", "sql_replicator"], {**settings, **more})
            running.callback(one.kill)
            return one

        kill_at_random(scene, server, lambda: launch(**SUCCESSOR), SEED, SECONDS)
        last = launch()
        target = TargetDatabase("postgres", make_url(server.url).set(drivername="postgresql+psycopg"))
        try:
            until(lambda: not differing(scene, target), "the target equals the source")
        except AssertionError:
            raise AssertionError(f"seed {SEED}: {differing(scene, target)}\n{last.said}") from None
        assert last.stop().code == 0


def differing(scene: Scene, target: TargetDatabase) -> dict[str, object]:
    """Tables that are not the same, with the rows that only one side has."""
    there = {name for (name,) in target.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    found: dict[str, object] = {}
    for row in scene.ask("SHOW TABLES"):
        name = next(iter(row.values()))
        columns = ["id", "n"] if name != "pair" else ["a", "b", "n"]
        if name == "bulk":
            continue
        wanted = {tuple(one.values()) for one in scene.ask(f"SELECT {', '.join(columns)} FROM {name}")}
        held = set(target.ask(f"SELECT {', '.join(columns)} FROM {name}")) if name in there else set()
        if wanted != held:
            found[name] = sorted(wanted ^ held)[:20]
    return found
