"""
Targets compared with their source: every kind of difference is found, nothing else is, and a repair mends it.
"""

from __future__ import annotations

import json
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from sqlalchemy import make_url

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import KeyPart
from meepo2_cdc.replay.connectors import Chosen
from meepo2_cdc.replay.rows import SourceRows
from meepo2_cdc.replay.sink import Replica
from meepo2_cdc.replay.verify.run import Verification, Verified
from meepo2_connectors import elasticsearch_sync, event_store, redis_replicator, sql_replicator
from tests.command import Running, run, until
from tests.connectors import sql_targets, sql_types
from tests.connectors.elasticsearch_target import remove_indexes
from tests.connectors.sql_targets import TargetDatabase
from tests.connectors.test_sql_replicator_values import run_leniently
from tests.integration.test_key_types import KEYS, Tables
from tests.scenes import Scene, Server
from tests.services import addresses
from tests.sources import source_log

Pk = tuple[KeyPart, ...]
Found = set[tuple[str, Pk]]

CONNECTORS = {
    "sql_replicator": sql_replicator.connector,
    "redis_replicator": redis_replicator.connector,
    "elasticsearch_sync": elasticsearch_sync.connector,
    "event_store": event_store.connector,
}
NAME = "odd \"`%s{}' é"
"""Of a table and of a column; in the source between backticks, of which it has one."""
QUOTED = f"`{NAME.replace('`', '``')}`"


class Trial:
    """A database of the source with a table of hostile names, and a target that a connector keeps."""

    def __init__(self, server: Server, connector: str, **own: str) -> None:
        self.server = server
        self.database = f"source_{uuid.uuid4().hex[:10]}"
        server.run(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
        given = {f"MEEPO2_{connector.upper()}_{name.upper()}": value for name, value in own.items()}
        environment = {"MEEPO2_SOURCE_DSN": server.dsn, "MEEPO2_TABLES": f"{self.database}.*", **given}
        settings, theirs = load_with(connector, CONNECTORS[connector].settings, environment=environment)
        self.seqs = count(1_782_907_200_000_000)
        self.chosen = Chosen(connector, CONNECTORS[connector], settings, theirs)

    def fill(self) -> None:
        self.run(
            f"CREATE TABLE {QUOTED} (a INT, b VARCHAR(20) COLLATE utf8mb4_bin, {QUOTED} TEXT, d DECIMAL(8,2),"
            " at DATETIME(3), PRIMARY KEY (a, b))",
            f"INSERT INTO {QUOTED} VALUES (1, '', 'one', 1.50, '2026-01-02 03:04:05.120'),"
            " (1, 'x y%', NULL, 0, NULL), (2, '\"|:*[1]', '☃', -1, NULL)",
        )

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    @contextmanager
    def verification(self, **options: Any) -> Iterator[Verification]:
        with closing(self.chosen.source_rows()) as rows, opened(self.chosen.replica()) as replica:
            yield Verification(self.chosen, rows, replica, **{"patience_seconds": 0, "has_group": False, **options})

    def verified(self, *patterns: str, **options: Any) -> Verified:
        with self.verification(**options) as verification:
            return verification.run(patterns)

    def found(self, *patterns: str) -> Found:
        return {(one.kind, one.pk) for one in self.verified(*patterns).differences}

    def repair(self) -> None:
        with self.verification() as verification:
            verified = verification.run(())
            repaired = verification.repair(verified.differences, self.seqs.__next__)
            assert repaired.mended == verified.differences.count, repaired

    def close(self) -> None:
        self.server.run(f"DROP DATABASE {self.database}")


@contextmanager
def opened(replica: Replica) -> Iterator[Replica]:
    replica.open()
    with closing(replica):
        yield replica


@pytest.fixture
def trial(request: pytest.FixtureRequest, source_mysql: Server, tmp_path: Path) -> Iterator[Trial]:
    """On the kind of target that the test names."""
    kind = request.param
    with ExitStack() as stack:
        if kind in sql_targets.TARGETS:
            url = stack.enter_context(sql_targets.database(kind, tmp_path)).url
            one = Trial(source_mysql, "sql_replicator", target_url=url, on_missing_table="create")
        elif kind == "elasticsearch":
            url = request.getfixturevalue("elasticsearch_address")
            prefix = f"t{uuid.uuid4().hex[:10]}"
            client = stack.enter_context(closing(Elasticsearch(url)))
            stack.callback(remove_indexes, client, prefix)
            one = Trial(source_mysql, "elasticsearch_sync", urls=url, index=f"{prefix}-{{table}}")
        else:
            mode, url = kind.removeprefix("redis-"), request.getfixturevalue("redis_url")
            name = f"test:{uuid.uuid4().hex[:12]}"
            if kind == "events":
                one = Trial(source_mysql, "event_store", url=url, namespace=name, retention_seconds="0")
            else:
                one = Trial(source_mysql, "redis_replicator", url=url, namespace=name, mode=mode)
        stack.callback(one.close)
        yield one


@pytest.fixture
def elasticsearch_address() -> str:
    given = addresses.address("elasticsearch")
    assert given is not None
    return given


KEPT: list[Pk] = [(1, ""), (1, "x y%"), (2, '"|:*[1]')]


@pytest.mark.parametrize(
    "trial", [*sql_targets.TARGETS, "redis-hash", "redis-json", "elasticsearch"], indirect=True
)  # fmt: skip
def test_what_is_missing_extra_and_different_is_told_apart_and_mended(trial: Trial):
    """The source is changed without a word to the connector, as if records had been lost."""
    trial.fill()
    assert trial.found() == {("missing", pk) for pk in KEPT}
    trial.repair()
    assert trial.found() == set()
    trial.run(
        f"UPDATE {QUOTED} SET d = 0.01 WHERE b = ''",
        f"DELETE FROM {QUOTED} WHERE a = 2",
        f"INSERT INTO {QUOTED} VALUES (3, 'NEW', '', NULL, NULL)",
        f"UPDATE {QUOTED} SET b = 'X y%' WHERE b = 'x y%'",
    )
    wanted = {
        ("different", (1, "")), ("extra", (2, '"|:*[1]')), ("missing", (3, "NEW")),
        ("extra", (1, "x y%")), ("missing", (1, "X y%")),
    }  # fmt: skip
    verified = trial.verified()
    assert {(one.kind, one.pk) for one in verified.differences} == wanted
    assert [one.rows for one in verified.tables] == [3]
    about = {one.kind: one.about for one in verified.differences}
    assert "0.01" not in about["different"]
    trial.repair()
    assert trial.found() == set()


@pytest.mark.parametrize("trial", ["events"], indirect=True)
def test_the_event_store_is_asked_for_keys_that_it_never_heard_of(trial: Trial):
    """It has no rows, and keys that are gone stay on purpose; but a key that it was never told is lost to readers."""
    trial.fill()
    assert trial.found() == {("missing", pk) for pk in KEPT}
    trial.repair()
    assert trial.found() == set()
    trial.run(f"DELETE FROM {QUOTED} WHERE a = 2", f"INSERT INTO {QUOTED} (a, b) VALUES (3, '')")
    assert trial.found() == {("missing", (3, ""))}


@pytest.mark.parametrize("server", ["mysql", "mariadb"])
def test_values_of_every_type_are_equal_to_what_was_written_of_them(server: str, database: TargetDatabase):
    """A verification that calls right rows wrong is of no use; one that looks away from a type, of less."""
    given = addresses.address(server)
    assert given is not None
    types = sql_types.types_of(Server(given).flavor)
    with closing(
        Trial(
            Server(given), "sql_replicator",
            target_url=database.url, on_missing_table="create", zero_dates="null",
        )
    ) as trial:  # fmt: skip
        run_leniently(trial.server, trial.database, sql_types.statements(types))
        trial.repair()
        assert [(one.pk, one.about) for one in trial.verified().differences] == []
        # a NULL becomes the first value, the first one the last
        for id_, changed in ((0, _with_values(types, 1)), (1, _with_values(types, 2))):
            assigned = [f"{name} = {types[name].values[-id_]}" for name in sorted(changed)]
            run_leniently(
                trial.server, trial.database, [f"UPDATE everything SET {', '.join(assigned)} WHERE id = {id_}"]
            )
            about = {one.pk[0]: one.about.removeprefix("columns ").split(", ") for one in trial.verified().differences}
            assert set(about[id_]) == changed, id_


def _with_values(types: dict[str, sql_types.Typed], least: int) -> set[str]:
    """Columns that have so many; `flag` makes another one too."""
    return {name for name, one in types.items() if len(one.values) >= least and name != "flag"}


@pytest.mark.parametrize("server", ["mysql", "mariadb"])
def test_rows_are_walked_once_each_by_keys_of_every_type(server: str):
    """A range that begins at a place that the server orders otherwise leaves rows out, or has no end."""
    keys = [key for key in KEYS if server in key.servers and "ujis" not in key.declared]
    with (
        closing(source_log(server)) as log,
        log.database() as schema,
        closing(SourceRows.from_source(log.source)) as rows,
    ):
        tables = Tables(log, schema)
        tables.create(keys)
        tables.fill(keys)
        for number in range(len(keys)):
            there = log.ask(f"SELECT COUNT(*) FROM {schema}.k{number}")[0][0]
            for limit in (1, 2):
                assert len(set(walked(rows, schema, f"k{number}", limit, there))) == there, keys[number]


def walked(rows: SourceRows, schema: str, table: str, limit: int, most: int) -> list[Any]:
    """The numbers of all rows, in the order in which they come."""
    found: list[Any] = []
    some, place = rows.behind(schema, table, None, limit)
    while some:
        found += [row["n"] for row in some]
        assert len(found) <= most, table
        some, place = rows.behind(schema, table, place, limit)
    return found


@pytest.mark.parametrize("trial", ["sqlite"], indirect=True)
def test_a_sample_looks_at_ranges_and_keys_of_both_sides(trial: Trial):
    """A sample of the one side only would never see what the other one has too much."""
    trial.run(
        "CREATE TABLE t (id INT PRIMARY KEY)",
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n",
    )
    trial.repair()
    trial.run("DELETE FROM t WHERE id <= 500")
    sampled = trial.verified(share=0.5)
    extra = [one for one in sampled.differences if one.kind == "extra"]
    assert 150 < len(extra) < 350
    assert trial.verified(share=0.5).tables[0].rows >= 200


@pytest.mark.parametrize("trial", ["sqlite"], indirect=True)
def test_what_is_not_compared_is_said(trial: Trial):
    """A table without a key has no records; a name that no table has is a mistake."""
    trial.run("CREATE TABLE t (id INT)", "CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO u VALUES (1)")
    tables = {one.name.table: one.left_out for one in trial.verified().tables}
    assert "no primary key" in tables["t"]
    assert tables["u"] == ""
    assert trial.found(f"{trial.database}.u") == {("missing", (1,))}
    with pytest.raises(ConfigError, match="no table of the source"):
        trial.verified(f"{trial.database}.nothing")


def test_tables_that_share_a_place_are_not_compared(source_mysql: Server, tmp_path: Path):
    """The rows of the one are too many for the other, and a repair would remove them."""
    url = f"sqlite:///{tmp_path}/t.db"
    with closing(Trial(source_mysql, "sql_replicator", target_url=url, on_missing_table="create")) as trial:
        trial.run("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE u (id INT PRIMARY KEY)")
        shared = {"tables": {f"{trial.database}.t": "u"}}
        trial.chosen = replace(trial.chosen, own=trial.chosen.own.model_copy(update=shared))
        with pytest.raises(ConfigError, match="whose row is whose"):
            trial.verified(f"{trial.database}.u")


# -- the command


def test_a_table_that_is_written_to_is_equal_until_its_target_is_harmed(scene: Scene, postgres: TargetDatabase):
    """Changes on their way are waited for; what nobody brings is told, with exit code 1, and can be mended."""
    settings = {
        **scene.settings,
        "MEEPO2_SQL_REPLICATOR_TARGET_URL": postgres.url,
        "MEEPO2_SQL_REPLICATOR_ON_MISSING_TABLE": "create",
        "MEEPO2_RUN_COMMIT_INTERVAL_MS": "100",
    }
    scene.run("CREATE TABLE counted (id INT PRIMARY KEY, n INT)")
    with ExitStack() as stack:
        scene.capture()
        running = Running(["run", "sql_replicator"], settings)
        stack.callback(running.kill)
        scene.run("INSERT INTO counted WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
                  " SELECT i, 0 FROM n")  # fmt: skip
        until(lambda: held(postgres) == 500, "the rows are there")
        with writing(scene):
            running.send(signal.SIGSTOP)  # so that much is on its way when rows are compared
            verifying = Running(["verify", "sql_replicator", "--json", "--wait", "60"], settings)
            stack.callback(verifying.kill)
            verifying.wait_for("looked at again")
            running.send(signal.SIGCONT)
        outcome = verifying.end()
        assert (outcome.code, outcome.out) == (0, ""), outcome.err
        postgres.run("DELETE FROM counted WHERE id = 3", "UPDATE counted SET n = -5 WHERE id = 4")
        outcome = run("verify", "sql_replicator", f"{scene.database}.counted", "--json", "--repair", settings=settings)
        assert outcome.code == 1, outcome.err
        found = {(one["kind"], *one["pk"], one["settled"]) for one in map(json.loads, outcome.out.splitlines())}
        assert found == {("missing", 3, True), ("different", 4, True)}
        assert "repaired: 2 of 2" in outcome.err
        outcome = run("verify", "sql_replicator", settings=settings)
        assert outcome.code == 0, outcome.out
        assert "no difference" in outcome.out


def held(target: TargetDatabase) -> int:
    found = target.ask("SELECT count(*) FROM pg_tables WHERE tablename = 'counted'")[0][0]
    return int(target.ask("SELECT count(*) FROM counted")[0][0]) if found else 0


@contextmanager
def writing(scene: Scene) -> Iterator[None]:
    """Somebody who changes, removes and adds rows all the time."""
    ending = threading.Event()

    def write() -> int:
        with scene.server.connect(scene.database) as connection, connection.cursor() as cursor:
            n = 0
            while not ending.wait(0.002):
                n += 1
                cursor.execute(f"UPDATE counted SET n = n + 1 WHERE id = {n % 490 + 1}")
                cursor.execute(f"DELETE FROM counted WHERE id = {500 - n % 5}")
                cursor.execute(f"REPLACE INTO counted VALUES ({500 - (n + 2) % 5}, {n})")
            return n

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        try:
            yield
        finally:
            ending.set()
        assert written.result(60) > 10


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "verify needs a CONNECTOR"),
        (["nothing"], "there is no connector"),
        (["--target", "postgresql://u:secret-of-a-test@h/d"], "password"),
        (["--target", "sqlite:////tmp/x.db", "no.table"], "no table of the source"),
        (["statsd"], "not kept"),
    ],
)
def test_what_cannot_be_compared_is_for_a_person(scene: Scene, arguments: list[str], complaint: str):
    """With exit code 2, as 1 means that something differs; and without a secret."""
    outcome = scene.command("verify", *arguments)
    assert outcome.code == 2, outcome.err
    assert complaint in outcome.complaint
    assert "secret-of-a-test" not in outcome.err


def test_a_database_is_compared_by_its_address_alone(scene: Scene, tmp_path: Path):
    """With no consumer, and no broker, that could be asked."""
    scene.run("CREATE TABLE user (id INT PRIMARY KEY)", "INSERT INTO user VALUES (1), (2)")
    target = TargetDatabase("sqlite", make_url(f"sqlite:///{tmp_path}/target.db"))
    target.run("CREATE TABLE user (id INT PRIMARY KEY)", "INSERT INTO user VALUES (1), (3)")
    settings = {**scene.settings, "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    outcome = run("verify", "--target", target.url, "--wait", "0", "--repair", settings=settings)
    assert outcome.code == 1, outcome.err
    assert "differences: 2" in outcome.out
    assert target.ask("SELECT id FROM user ORDER BY id") == [(1,), (2,)]
