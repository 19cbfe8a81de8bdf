"""What is said of a capture's progress comes from its last committed checkpoint and from the real server."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result

from meepo2_cdc.capture.binlog.connection import connect
from meepo2_cdc.cli.main import cli
from meepo2_cdc.config import load
from meepo2_cdc.records.checkpoint import Checkpoint
from tests.kafka import Topics
from tests.services import addresses

CHECKPOINT = Checkpoint(
    source="db",
    flavor="mysql",
    server=None,
    gtid_set=None,
    file="binlog.000001",
    position=4,
    gtid=None,
    undecided=None,
    rows_done=0,
    seq=7,
    tables=("*.*", "!a.b"),
    committed_at=None,
    written_by="test",
    written_at=datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=UTC),
)


@pytest.fixture
def topics(kafka: str) -> Topics:
    return Topics(kafka)


@pytest.fixture
def run(kafka: str, prefix: str):
    def command(*arguments: str, expected: int = 0, **environment: str) -> Result:
        own = [*arguments, "--bootstrap-servers", kafka, "--prefix", prefix]
        result = CliRunner(env=environment).invoke(cli, own, catch_exceptions=False)
        assert result.exit_code == expected, result.stderr
        return result

    return command


def write(topics: Topics, prefix: str, *checkpoints: Checkpoint, abort: bool = False) -> None:
    topic = f"{prefix}.checkpoints.db"
    if topic not in topics.admin.list_topics().topics:
        topics.create(topic, cleanup_policy="compact")
    with topics.transaction(topic, abort=abort) as producer:
        for one in checkpoints:
            producer.produce(topic, one.encoded(), one.source.encode(), 0)


def test_the_last_committed_checkpoint_is_shown(run, topics: Topics, prefix: str):
    """An aborted one promises records that nobody can read."""
    write(topics, prefix, CHECKPOINT, replace(CHECKPOINT, seq=8))
    write(topics, prefix, replace(CHECKPOINT, seq=9), abort=True)
    found = json.loads(run("checkpoint", "show", "--json").stdout)
    assert (found["seq"], found["file"], found["tables"]) == (8, "binlog.000001", ["*.*", "!a.b"])
    assert found["written_at"] == "2026-07-01T12:00:00.000005Z"
    shown = [line.split(maxsplit=1) for line in run("checkpoint", "show").stdout.splitlines()]
    assert ["seq", "8"] in shown
    assert ["tables", "*.*, !a.b"] in shown


def test_a_source_without_a_checkpoint_is_refused_with_those_that_have_one(run, topics: Topics, prefix: str):
    """A wrong name must not look like a capture that has never run."""
    write(topics, prefix, CHECKPOINT)
    for command in (("checkpoint", "show"), ("status",)):
        result = run(*command, "--source-name", "bd", expected=2)
        assert "Sources that have one: db." in result.stderr
        assert result.stdout == ""


def test_status_compares_the_checkpoint_with_the_server(run, topics: Topics, prefix: str):
    """Whether the server still has what follows is known only there."""
    dsn = addresses.address("mysql")
    if dsn is None:
        pytest.fail(f"no mysql: run `python -m tests.services up mysql`, or set {addresses.VARIABLES['mysql']}")
    with connect(load(environment={"MEEPO2_SOURCE_DSN": dsn}).source) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW BINARY LOGS")
        file, position, *_ = cursor.fetchall()[-1]
    write(topics, prefix, replace(CHECKPOINT, file=file, position=position))
    found = json.loads(run("status", "--json", MEEPO2_SOURCE_DSN=dsn).stdout)
    assert found["server_has_checkpoint_file"]
    assert found["bytes_behind"] >= 0
    assert found["written_seconds_ago"] > 0
    write(topics, prefix, replace(CHECKPOINT, file="no-such.000001"))
    found = json.loads(run("status", "--json", MEEPO2_SOURCE_DSN=dsn).stdout)
    assert (found["server_has_checkpoint_file"], found["bytes_behind"]) == (False, None)


def test_status_shows_what_kafka_says_when_the_server_does_not_answer(run, topics: Topics, prefix: str):
    """The moment at which the position is asked for is the one at which the server is down."""
    write(topics, prefix, CHECKPOINT)
    result = run("status", MEEPO2_SOURCE_DSN="mysql://cdc@127.0.0.1:1/", expected=1)
    assert "binlog.000001" in result.stdout
    assert "127.0.0.1:1" in result.stderr
