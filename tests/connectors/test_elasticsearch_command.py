"""
The synchronisation of Elasticsearch as a command: its settings, its account, both ends of it, and their crashes.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from elasticsearch import Elasticsearch

import meepo2_connectors.elasticsearch_sync
from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import KeyPart
from meepo2_cdc.replay.connectors import choose
from meepo2_cdc.replay.sink import Rejected, Sink, TryAgain
from meepo2_cdc.testing import Changes
from meepo2_connectors.elasticsearch_sync import connector, encoded
from meepo2_connectors.elasticsearch_sync.settings import Settings
from tests.command import Running, environment, until
from tests.connectors.elasticsearch_target import SYNC, Rows, contents, remove_indexes, sink
from tests.faults import workload
from tests.scenes import MakeScene, Scene, Server, both_own
from tests.services import native

FOLDER = Path(meepo2_connectors.elasticsearch_sync.__file__).parent
SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0"))
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "1"))
PREFIX = "shop-of-a-test"

# -- settings


def test_the_example_is_complete_and_loads():
    """A setting that is missing from it is not found."""
    settings, own = load_with("elasticsearch_sync", Settings, config=FOLDER / "example.toml", environment={})
    assert settings.prefix == "shop"
    text = (FOLDER / "example.toml").read_text()
    assert [field for field in Settings.model_fields if field not in text] == []
    assert own.index_suffix == "v1"


@pytest.mark.parametrize(
    "settings",
    [
        {"URLS": "http://x:secret-of-a-test@y:9200"},
        {"URLS": "localhost:9200"},
        {"URLS": "http://localhost"},
        {"USERNAME": "x"},
        {"API_KEY": "secret-of-a-test", "USERNAME": "x", "PASSWORD": "secret-of-a-test"},
        {"CA_FILE": "/x.pem"},
        {"INDEX_SUFFIX": "V 1"},
        {"DOCUMENT": "nothing"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, str]):
    """With the setting's name, and without secrets: messages are kept in logs."""
    given = {f"MEEPO2_ELASTICSEARCH_SYNC_{name}": value for name, value in settings.items()}
    with pytest.raises(ConfigError, match=r"(?i)elasticsearch_sync") as caught:
        load_with("elasticsearch_sync", Settings, environment=given)
    assert "secret-of-a-test" not in str(caught.value)


def test_several_addresses_fit_in_a_variable():
    """A cluster has several nodes, and containers have variables."""
    given = {"MEEPO2_ELASTICSEARCH_SYNC_URLS": "http://a:9200, https://b:9200"}
    _, own = load_with("elasticsearch_sync", Settings, environment=given)
    assert own.urls == ["http://a:9200", "https://b:9200"]


def test_it_is_found_by_its_name():
    """By the entry point, as the command finds it."""
    assert choose("elasticsearch_sync").connector is connector


def test_the_commands_of_the_readme_are_there():
    """Their names and options, by asking for help."""
    text = (FOLDER / "README.md").read_text()
    ours = [shlex.split(one, comments=True)[1:] for one in re.findall(r"^ {4}(meepo2-cdc .*)", text, re.MULTILINE)]
    assert len(ours) > 3
    for arguments in ours:
        assert Running([*arguments, "--help"], {}).end().code == 0, arguments
    commands = re.findall(r"^ {4}python -m (meepo2_connectors\S+) (.*)", text, re.MULTILINE)
    assert commands
    for module, arguments in commands:
        asked = [sys.executable, "-m", module, *shlex.split(arguments, comments=True), "--help"]
        assert subprocess.run(asked, capture_output=True, check=False).returncode == 0, arguments


# -- accounts, and what answers


def account(server: native.PrivateElasticsearch, name: str, **settings: object) -> dict[str, object]:
    return {"username": name, "password": server.password, "index": "{prefix}-{table}", **settings}


def test_the_rights_that_the_readme_names_suffice(
    own_elasticsearch: native.PrivateElasticsearch, elasticsearch_admin: Elasticsearch
):
    """Who grants them must not find out at night that one is missing."""
    rights = [one.strip() for one in SYNC.split("privileges: [")[1].split("]")[0].split(",")]
    text = " ".join((FOLDER / "README.md").read_text().split())
    assert json.dumps(rights) in text
    rows, changes = Rows(), Changes()
    rows.write((1,))
    rows.write((2,))
    with closing(sink(own_elasticsearch.url, PREFIX, rows, **account(own_elasticsearch, "sync"))) as one:
        one.open()
        one.apply([changes.write(1), changes.write(2), changes.delete(3)])
        rows.delete((1,))
        one.apply([changes.truncate()])
    assert set(contents(elasticsearch_admin, f"{PREFIX}-user")) == {"2"}
    remove_indexes(elasticsearch_admin, PREFIX)


@pytest.mark.parametrize(
    ("prefix", "settings"),
    [
        ("elsewhere", {"username": "sync", "password": "secret-of-a-test"}),
        ("t-of-limited", {"username": "limited", "password": "secret-of-a-test"}),
        (PREFIX, {"username": "sync", "password": "another-secret-of-a-test"}),
        (PREFIX, {"api_key": "c2VjcmV0OnNlY3JldC1vZi1hLXRlc3Q="}),
        (PREFIX, {}),
    ],
)
def test_an_account_that_may_not_is_for_a_person(
    prefix: str, settings: dict[str, Any], own_elasticsearch: native.PrivateElasticsearch
):
    """Trying again for ever would hide it; a secret must not get into a log."""
    one = sink(own_elasticsearch.url, prefix, Rows(), **settings)
    with pytest.raises(ConfigError, match="refuses the account") as caught:
        _use(one)
    assert "create_index" in str(caught.value)
    assert "secret-of-a-test" not in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)


def _use(one: Sink) -> None:
    one.open()
    one.apply([Changes().write(1)])


def test_an_account_may_lose_the_right_to_write(
    own_elasticsearch: native.PrivateElasticsearch, elasticsearch_admin: Elasticsearch
):
    """Elasticsearch tells it of each document, with the status 403 that a blocked index has too."""
    elasticsearch_admin.indices.create(index="t-of-limited-user")
    rows = Rows()
    rows.write((1,))
    one = sink(own_elasticsearch.url, "t-of-limited", rows, **account(own_elasticsearch, "limited"))
    one.open()
    with closing(one), pytest.raises(ConfigError, match="refuses the account"):
        one.apply([Changes().write(1)])
    remove_indexes(elasticsearch_admin, "t-of-limited")


def test_what_is_no_elasticsearch_is_for_a_person(registry: str):
    """A wrong port is not an Elasticsearch that starts."""
    with pytest.raises(ConfigError, match="no Elasticsearch"):
        sink(re.sub(r"(:\d+)/.*", r"\1", registry), PREFIX, Rows()).open()


def test_an_index_that_was_removed_is_made_again(
    own_elasticsearch: native.PrivateElasticsearch, elasticsearch_admin: Elasticsearch
):
    """Where indexes are not made by themselves; and its mark with it."""
    rows, changes = Rows(), Changes()
    rows.write((1,))
    elasticsearch_admin.cluster.put_settings(persistent={"action.auto_create_index": "false"})
    with closing(sink(own_elasticsearch.url, PREFIX, rows, **account(own_elasticsearch, "sync"))) as one:
        one.open()
        one.apply([changes.write(1)])
        elasticsearch_admin.indices.delete(index=f"{PREFIX}-user")
        with pytest.raises(TryAgain, match="removed") as caught:
            one.apply([changes.write(1)])
        assert not caught.value.records
        one.apply([changes.write(1)])
    elasticsearch_admin.cluster.put_settings(persistent={"action.auto_create_index": None})
    mapping = elasticsearch_admin.indices.get_mapping(index=f"{PREFIX}-user").body[f"{PREFIX}-user"]["mappings"]
    assert mapping["_meta"]["meepo2_cdc"]["table"] == "shop.user"
    remove_indexes(elasticsearch_admin, PREFIX)


def test_a_request_that_is_too_large_is_halved(
    own_elasticsearch: native.PrivateElasticsearch, elasticsearch_admin: Elasticsearch
):
    """Proxies and Elasticsearch take so much and no more; a document that is larger by itself is set aside."""
    rows, changes = Rows(), Changes()
    size = native.PrivateElasticsearch.most_bytes
    for n in range(10):
        rows.write((n,), "x" * (size // 4))
    rows.write((10,), "x" * size)
    batch = [changes.write(n) for n in range(11)]
    settings = account(own_elasticsearch, "sync", bulk_bytes=100 * size)
    with closing(sink(own_elasticsearch.url, PREFIX, rows, **settings)) as one:
        one.open()
        with pytest.raises(Rejected) as caught:
            one.apply(batch)
    assert caught.value.records == (batch[10],)
    assert set(contents(elasticsearch_admin, f"{PREFIX}-user")) == {str(n) for n in range(10)}
    remove_indexes(elasticsearch_admin, PREFIX)


# -- the command, from a source to Elasticsearch


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Commands that are gone at the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def cleared(elasticsearch: Elasticsearch, make_scene: MakeScene) -> Iterator[list[str]]:
    """Prefixes whose indexes are removed at the end."""
    prefixes: list[str] = []
    yield prefixes
    for one in prefixes:
        remove_indexes(elasticsearch, one)


def launch(running: ExitStack, scene: Scene, **settings: str) -> Running:
    quick = {
        "MEEPO2_RUN_COMMIT_INTERVAL_MS": "100",
        "MEEPO2_KAFKA_SESSION_TIMEOUT_MS": "6000",
        "MEEPO2_RUN_RETRY_MAX_SECONDS": "0.5",
    }
    one = Running(["run", "elasticsearch_sync"], {**scene.settings, **quick, **settings})
    running.callback(one.kill)
    return one


@both_own
def test_rows_come_are_changed_and_go(
    scene: Scene, elasticsearch_url: str, elasticsearch: Elasticsearch, cleared: list[str], running: ExitStack
):
    """S84.  The tutorial, then everything again from the beginning: late and repeated records change nothing."""
    cleared.append(scene.prefix)
    scene.settings |= {
        "MEEPO2_ELASTICSEARCH_SYNC_URLS": elasticsearch_url,
        "MEEPO2_ELASTICSEARCH_SYNC_INDEX": "{prefix}-{table}",
    }
    index = f"{scene.prefix}-test"

    def documents(**data: str) -> dict[str, dict[str, Any]]:
        return {name[1:]: {"id": int(name[1:]), "data": text} for name, text in data.items()}

    def become(wanted: dict[str, dict[str, Any]], what: str) -> None:
        scene.caught_up()
        until(lambda: contents(elasticsearch, index) == wanted, what)

    scene.run(
        "CREATE TABLE test (id INT PRIMARY KEY, data VARCHAR(256))",
        "INSERT INTO test VALUES (1, 'a')",
        "INSERT INTO test VALUES (2, 'b'), (3, 'c'), (4, 'd')",
    )
    connecting = launch(running, scene)
    become(documents(_1="a", _2="b", _3="c", _4="d"), "the rows")
    scene.run("UPDATE test SET data = 'aa' WHERE id = 1", "UPDATE test SET data = 'cc' WHERE id <> 1")
    become(documents(_1="aa", _2="cc", _3="cc", _4="cc"), "the changes")
    scene.run("DELETE FROM test WHERE id IN (1, 2)", "UPDATE test SET id = 30 WHERE id = 3")
    become(documents(_30="cc", _4="cc"), "the deletes, and the row under its new key")
    assert connecting.stop().code == 0
    outcome = scene.command("replay", "elasticsearch_sync", "--from-offset", "earliest")
    assert outcome.code == 0, outcome.err
    assert contents(elasticsearch, index) == documents(_30="cc", _4="cc")
    scene.run("TRUNCATE test", "INSERT INTO test VALUES (5, 'e')")
    launch(running, scene)
    become(documents(_5="e"), "the row that was inserted after the truncate")


COLUMNS: dict[str, tuple[str, str, Any]] = {
    "id": ("BIGINT UNSIGNED PRIMARY KEY", "9223372036854775807", 9223372036854775807),
    "small": ("TINYINT", "-1", -1),
    "flag": ("BIT(1)", "b'1'", 1),
    "price": ("DECIMAL(30,2)", "-12.5", "-12.50"),
    "ratio": ("DOUBLE", "0.1", 0.1),
    "day": ("DATE", "'2026-01-02'", "2026-01-02"),
    "span": ("TIME(2)", "'-12:00:01.5'", "-12:00:01.50"),
    "moment": ("DATETIME(3)", "'2026-01-02 03:04:05.12'", "2026-01-02T03:04:05.120"),
    "stamp": ("TIMESTAMP NULL", "FROM_UNIXTIME(1000000000)", "2001-09-09T01:46:40Z"),
    "zero": ("DATETIME", "'0000-00-00 00:00:00'", None),
    "zero_day": ("DATE", "'2026-00-01'", None),
    "label": ("ENUM('red', 'green')", "'red'", "red"),
    "labels": ("SET('a', 'b')", "'a,b'", ["a", "b"]),
    "no_labels": ("SET('a', 'b')", "''", []),
    "body": ("TEXT", "'größe ☃'", "größe ☃"),
    "raw": ("VARBINARY(9)", "x'00ff'", "AP8="),
    "doc": ("JSON", "'{\"a\": [1, null]}'", '{"a": [1, null]}'),
    "nothing": ("INT", "NULL", None),
    'o"d`d %s': ("INT", "7", 7),
}
"""A column's definition, an expression for its value, and what the document has of it."""
OTHERWISE = {"price": -12.5, "doc": {"a": [1, None]}}
"""With decimals = "number" and json_columns = "object"; to MariaDB a JSON column is a text."""


@both_own
def test_values_are_as_documented(
    scene: Scene, elasticsearch_url: str, elasticsearch: Elasticsearch, cleared: list[str], running: ExitStack
):
    """Whoever searches relies on it; MySQL and MariaDB must not differ."""
    cleared.append(scene.prefix)
    scene.settings["MEEPO2_ELASTICSEARCH_SYNC_URLS"] = elasticsearch_url
    quoted = {name: "`" + name.replace("`", "``") + "`" for name in COLUMNS}
    scene.run("CREATE TABLE kind (" + ", ".join(f"{quoted[name]} {one[0]}" for name, one in COLUMNS.items()) + ")")
    values = ", ".join(one[1] for one in COLUMNS.values())
    with scene.server.connect(scene.database, init_command="SET sql_mode = ''") as connection:
        connection.cursor().execute(f"INSERT INTO kind VALUES ({values})")
    scene.caught_up()
    wanted = {name: one[2] for name, one in COLUMNS.items()}
    otherwise = {**wanted, **OTHERWISE}
    if scene.server.flavor == "mariadb":
        otherwise["doc"] = wanted["doc"]
    for suffix, document in (("", wanted), ("typed", otherwise)):
        settings = {"MEEPO2_ELASTICSEARCH_SYNC_INDEX_SUFFIX": suffix, "MEEPO2_RUN_GROUP": f"{scene.prefix}.{suffix}"}
        if suffix:
            settings["MEEPO2_ELASTICSEARCH_SYNC_DECIMALS"] = "number"
            settings["MEEPO2_ELASTICSEARCH_SYNC_JSON_COLUMNS"] = "object"
        connecting = launch(running, scene, **settings)
        index = f"{scene.prefix}-{scene.database}-kind" + f"-{suffix}" * bool(suffix)
        try:
            found = until(lambda index=index: contents(elasticsearch, index), suffix or "plain")
        except AssertionError:
            raise AssertionError(connecting.said) from None
        assert connecting.stop().code == 0
        assert found == {"9223372036854775807": document}


def test_an_index_is_made_anew_and_takes_the_place_of_the_old_one(
    own_mariadb: Server,
    make_scene: MakeScene,
    elasticsearch_url: str,
    elasticsearch: Elasticsearch,
    cleared: list[str],
    running: ExitStack,
):
    """S84.  By the steps of the README: whoever searches by the alias meets all rows at every moment."""
    scene = make_scene(own_mariadb)
    cleared.append(scene.prefix)
    scene.settings["MEEPO2_ELASTICSEARCH_SYNC_URLS"] = elasticsearch_url
    alias = f"{scene.prefix}-{scene.database}-test"
    v2 = {"MEEPO2_ELASTICSEARCH_SYNC_INDEX_SUFFIX": "v2"}

    def command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        asked = [sys.executable, "-m", "meepo2_connectors.elasticsearch_sync.alias", *arguments]
        env = environment({**scene.settings, **settings})
        return subprocess.run(asked, env=env, capture_output=True, text=True, check=False)

    def ids() -> set[str]:
        return set(contents(elasticsearch, alias))

    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1), (2)")
    scene.caught_up()
    old = launch(running, scene)
    until(lambda: ids() == {"1", "2"}, "the rows, in an index without a suffix")
    refused = command("switch", **v2)
    assert refused.returncode == 2
    assert "there is no index *-v2" in refused.stderr
    scene.settings |= v2
    assert scene.command("replay", "elasticsearch_sync", "--from-offset", "earliest").code == 0
    scene.run("DELETE FROM test WHERE id = 1", "INSERT INTO test VALUES (3)")
    scene.caught_up()
    until(lambda: ids() == {"2", "3"}, "the old index is kept current meanwhile")
    assert set(contents(elasticsearch, f"{alias}-v2")) == {"1", "2"}
    assert old.stop().code == 0
    assert scene.command("replay", "elasticsearch_sync", "--from-offset", "earliest").code == 0
    assert set(contents(elasticsearch, f"{alias}-v2")) == {"2", "3"}
    refused = command("switch")
    assert (refused.returncode, ids()) == (2, {"2", "3"})
    assert "--remove-indexes" in refused.stderr
    shown = command("show")
    assert shown.stdout == f"{alias} is an index of that name, would be {alias}-v2\n"
    switched = command("switch", "--remove-indexes")
    assert switched.returncode == 0, switched.stderr
    assert list(elasticsearch.indices.get_alias(name=alias).body) == [f"{alias}-v2"]
    assert ids() == {"2", "3"}
    new = launch(running, scene)
    scene.run("INSERT INTO test VALUES (4)")
    scene.caught_up()
    until(lambda: ids() == {"2", "3", "4"}, "what comes afterwards")
    assert new.stop().code == 0
    scene.settings["MEEPO2_ELASTICSEARCH_SYNC_INDEX_SUFFIX"] = "v3"
    assert scene.command("replay", "elasticsearch_sync", "--from-offset", "earliest").code == 0
    switched = command("switch")
    assert switched.stdout == f"{alias} was {alias}-v2, is now {alias}-v3\n", switched.stderr
    assert list(elasticsearch.indices.get_alias(name=alias).body) == [f"{alias}-v3"]
    assert command("switch").stdout == f"{alias} is {alias}-v3\n"


# -- faults


def test_documents_equal_the_source_after_kills_of_both_ends(
    own_mariadb: Server,
    make_scene: MakeScene,
    own_elasticsearch: native.PrivateElasticsearch,
    elasticsearch_admin: Elasticsearch,
    running: ExitStack,
):
    """
    kill -9 of the connector and of Elasticsearch, at random moments; then every row is there, and no other.

    No record tells of a column that an ALTER adds or drops, so those are not compared.
    """
    scene = make_scene(own_mariadb)
    scene.settings |= {
        "MEEPO2_ELASTICSEARCH_SYNC_URLS": own_elasticsearch.url,
        "MEEPO2_ELASTICSEARCH_SYNC_USERNAME": "sync",
        "MEEPO2_ELASTICSEARCH_SYNC_PASSWORD": own_elasticsearch.password,
    }
    _kill_at_random(scene, own_elasticsearch, running)
    last = launch(running, scene)
    wanted = _in_the_source(scene)

    def differing() -> list[str]:
        found = {
            f"{table} {one}": _unaltered(document)
            for table in wanted
            for one, document in contents(elasticsearch_admin, f"{scene.prefix}-{scene.database}-{table}").items()
        }
        expected = {f"{table} {one}": row for table, rows in wanted.items() for one, row in rows.items()}
        return [one for one in found.keys() | expected.keys() if found.get(one) != expected.get(one)]

    try:
        until(lambda: not differing(), "the documents equal the rows")
    except AssertionError:
        raise AssertionError(f"seed {SEED}: {differing()[:20]}\n{last.said}") from None
    remove_indexes(elasticsearch_admin, scene.prefix)


def _kill_at_random(scene: Scene, server: native.PrivateElasticsearch, running: ExitStack) -> None:
    """Three lives of the connector, in the second of which Elasticsearch is killed; more until SECONDS are over."""
    dice = random.Random(SEED)  # noqa: S311 - moments, not secrets
    workload.prepare(scene)
    capture = scene.capture()
    load = workload.Load(scene, SEED)
    load.start()
    try:
        end = monotonic() + SECONDS
        for life in count():
            if life >= 3 and monotonic() > end:
                break
            connecting = launch(running, scene, MEEPO2_KAFKA_GROUP_INSTANCE_ID="the-one")
            _while_it_lives(connecting, dice.uniform(1, 4))
            if life % 3 == 1:
                server.kill()
                if dice.random() < 0.5:
                    connecting.kill()
                server.start()
                if connecting.runs:
                    _while_it_lives(connecting, dice.uniform(0, 2))
            connecting.kill()
    finally:
        load.stop()
    assert capture.stop().code == 0, capture.said
    scene.caught_up()


def _while_it_lives(connecting: Running, seconds: float) -> None:
    try:
        code = connecting.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise AssertionError(f"the connector ended by itself, with {code}:\n{connecting.said}")


def _in_the_source(scene: Scene) -> dict[str, dict[str, dict[str, Any]]]:
    """Of every table that has records its rows, by their ids."""
    keys = {**dict.fromkeys(("number", "word", "bulk"), ("id",)), "pair": ("b", "a")}
    tables = {read.action.table for read in scene.reads() if read.action is not None}
    assert set(workload.TABLES) <= tables
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for table in tables:
        rows = found[table] = {}
        for row in scene.ask(f"SELECT * FROM `{table}`"):
            pk: tuple[KeyPart, ...] = tuple(row[name] for name in keys.get(table, ("id",)))
            rows[encoded(pk)] = _unaltered(row)
    return found


def _unaltered(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in workload.ALTERED_COLUMNS}
