"""
`meepo2-cdc check` before a capture, and the same looks at its start.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from meepo2_cdc.capture.binlog import log_contents
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.checks import CHECKS
from meepo2_cdc.config import SourceSettings
from tests.command import COMMAND, environment, run
from tests.kafka import Topics
from tests.scenes import MakeScene, Scene, Server, both
from tests.services import native


def checked(scene: Scene, *flags: str, **settings: str) -> dict[str, dict[str, str]]:
    """Findings by name; of several connectors the last."""
    outcome = run("check", "--json", *flags, settings={**scene.settings, **settings})
    assert outcome.code in (0, 2), outcome.err
    return {one["check"]: one for one in map(json.loads, outcome.out.splitlines())}


@both
def test_all_that_is_looked_at_can_be_explained(scene: Scene, registry: str, redis_url: str) -> None:
    """A name that nobody can look up is a riddle at night."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.settings |= {"MEEPO2_SCHEMA_REGISTRY_URL": registry, "MEEPO2_REDIS_REPLICATOR_URL": redis_url}
    scene.caught_up()
    rows = json.dumps([{"tables": ["*.*"]}])
    found = checked(scene, "--write", MEEPO2_CAPTURE_ROWS=rows)
    assert set(found) <= set(CHECKS)
    of_flavor = {"mysql": {"binlog-monitor"}, "mariadb": {"replication-client", "gtid-mode", "session-formats"}}
    assert set(CHECKS) - set(found) - of_flavor[scene.server.flavor] <= {"rows-row-value-options"}
    hindering = {name for name, one in found.items() if one["state"] == "fail"}
    assert hindering == {"rows-row-metadata"}, "the server has its default"


def test_explain_needs_neither_settings_nor_servers() -> None:
    """Whoever asks has a capture that does not start."""
    for name, about in CHECKS.items():
        assert about.what, name
    told = run("check", "--explain", "log-retention", settings={"MEEPO2_TABLES": "nonsense"})
    assert (told.code, "Why" in told.out, "binlog_expire_logs_seconds" in told.out) == (0, True, True)
    wrong = run("check", "--explain", "log-retentoin", settings={})
    assert (wrong.code, "did you mean log-retention?" in wrong.err) == (2, True)


def test_a_clock_that_is_wrong(mysql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lags and times would be wrong by as much."""
    import time

    server = SourceServer(SourceSettings.model_validate({"dsn": mysql.dsn}))
    right = log_contents._clock(server)
    monkeypatch.setattr(log_contents, "time", SimpleNamespace(time=lambda: time.time() + 100))
    wrong = log_contents._clock(server)
    server.close()
    assert (right.passed, wrong.passed) == (True, False)
    assert "behind this machine's" in wrong.found


@pytest.fixture(scope="module")
def odd_mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A replica that logs little, without global ids."""
    options = [
        "gtid_mode=OFF", "enforce_gtid_consistency=OFF", "binlog_ignore_db=hidden", "log_replica_updates=OFF",
        "binlog_expire_logs_seconds=3600", "performance_schema=ON",
    ]  # fmt: skip
    with native.mysql(tmp_path_factory.mktemp("odd-mysql"), options) as server:
        made = Server(server.dsn)
        made.run("CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1")
        yield made


def test_a_server_that_does_not_log_everything(odd_mysql: Server, make_scene: MakeScene) -> None:
    """What is not in the log is missed by everybody, in silence."""
    scene = make_scene(odd_mysql)
    found = checked(scene)
    noted = {name for name, one in found.items() if one["state"] == "note"}
    assert {"log-filters", "replica-updates", "gtid-mode", "visibility"} <= noted
    assert "hidden" in found["log-filters"]["found"]


def test_a_log_that_is_purged_before_the_capture_is_back(odd_mysql: Server, make_scene: MakeScene) -> None:
    """Exit code 3 after a weekend, and a gap that no restart closes."""
    scene = make_scene(odd_mysql)
    assert checked(scene)["log-retention"]["state"] == "note"
    assert checked(scene, MEEPO2_CAPTURE_EXPECTED_DOWNTIME_SECONDS="1800")["log-retention"]["state"] == "ok"


def test_a_session_that_logs_statements(odd_mysql: Server, make_scene: MakeScene) -> None:
    """The server's own setting is right, and the capture stops all the same."""
    scene = make_scene(odd_mysql)
    with odd_mysql.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION binlog_format = 'STATEMENT'")
        found = checked(scene)["session-formats"]
    assert (found["state"], found["found"][:1]) == ("note", "1")


def test_topics_that_are_not_as_the_settings_have_them(scene: Scene, kafka: str) -> None:
    """They are left as they are, and nobody would notice."""
    topics = Topics(kafka)
    odd = topics.create(
        f"{scene.prefix}.shop.odd", 7, retention_ms="3600000", message_timestamp_type="LogAppendTime",
        message_timestamp_before_max_ms="60000",
    )  # fmt: skip
    topics.create(f"{scene.prefix}.shop.packed", 4, cleanup_policy="compact")
    topics.create(f"{scene.prefix}.checkpoints.db", 2)
    found = checked(scene)
    wrong = {name: one["found"] for name, one in found.items() if one["state"] == "note" and "topic" in name}
    assert set(wrong) == {
        "topic-retention", "topic-cleanup", "topic-timestamps", "topic-partitions", "checkpoint-topic",
    }  # fmt: skip
    assert odd in wrong["topic-partitions"]
    assert ".packed" in wrong["topic-cleanup"]


def test_topics_that_kafka_would_not_make(scene: Scene) -> None:
    """The capture would end at the first row of a new table."""
    found = checked(scene, MEEPO2_TOPICS_REPLICATION_FACTOR="99")
    assert found["kafka-create"]["state"] == "fail"
    assert not [one for one in Topics(scene.kafka).admin.list_topics(timeout=30).topics if scene.prefix in one]


def test_a_subject_that_is_somebody_elses(scene: Scene, kafka: str, registry: str) -> None:
    """The registry refuses the schema, and with it every record of the topic."""
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    topic = Topics(kafka).create(f"{scene.prefix}.shop.taken")
    client = SchemaRegistryClient({"url": registry})
    client.register_schema(f"{topic}-value", Schema('"int"', "AVRO"))
    client.set_compatibility(f"{topic}-value", "BACKWARD")
    found = checked(scene, MEEPO2_SCHEMA_REGISTRY_URL=registry)["registry-compatibility"]
    assert found["state"] == "fail"
    assert f"{topic}-value" in found["found"]
    assert f"{topic}-key" not in found["found"]


def test_connectors_are_looked_at_where_they_are_set_up(scene: Scene, redis_url: str) -> None:
    """A target's address with a typing error would be found by the first record."""
    assert "connector" not in checked(scene)
    assert checked(scene, MEEPO2_REDIS_REPLICATOR_URL=redis_url)["connector"]["state"] == "ok"
    away = checked(scene, MEEPO2_REDIS_REPLICATOR_URL="redis://127.0.0.1:1/0")["connector"]
    assert away["state"] == "fail"
    assert "connector" not in checked(scene, MEEPO2_REDIS_REPLICATOR_PORT="tcp://10.0.0.1:6379"), "a service link"


def test_a_capture_tells_at_its_start_what_it_would_be_advised_of(scene: Scene, kafka: str) -> None:
    """Nobody runs `check` on the day after the first."""
    scene.run("CREATE TABLE bare (a INT)")
    topic = Topics(kafka).create(f"{scene.prefix}.shop.odd", 7)
    lines = [line for line in scene.caught_up().err.splitlines() if "A check did not pass" in line]
    assert any("primary-keys" in line and f"{scene.database}.bare" in line for line in lines), lines
    assert any("topic-partitions" in line and topic in line for line in lines), lines


def test_a_terminal_gets_a_table(scene: Scene) -> None:
    """People read it there."""
    scene.run("CREATE TABLE `a\\\x1b[2Jb` (a INT)")
    shown = on_terminal([str(COMMAND), "check"], environment(scene.settings | {"TERM": "xterm", "COLUMNS": "100"}))
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"^ +note +primary-keys +1 tables without a primary key", text, re.MULTILINE), text
    assert "\x1b[2Jb" not in shown, "a table's name must not move the cursor"


def on_terminal(command: list[str], variables: dict[str, str]) -> str:
    """What the command prints to a terminal of its own."""
    program = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    ended = subprocess.run(
        [sys.executable, "-c", program, *command], env=variables, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    return ended.stdout.decode(errors="replace")
