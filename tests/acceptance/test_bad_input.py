"""
What is wrong from the beginning: one clear message, and the exit code that scripts go by.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.command import Outcome, run
from tests.scenes import Scene, both


def assert_clear(outcome: Outcome, code: int, *words: str) -> None:
    """One line of fact, indented lines of advice, nothing else."""
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err
    lines = outcome.err.splitlines()
    assert sum(line.startswith("meepo2-cdc: ") for line in lines) == 1, outcome.err
    assert all(line.startswith(("meepo2-cdc: ", "            ")) for line in lines), outcome.err
    for word in words:
        assert word in outcome.err


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that is ours, and on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_an_unreachable_source(scene: Scene, dead_port: int) -> None:
    """The address that was tried must be in the message."""
    scene.settings["MEEPO2_SOURCE_DSN"] = f"mysql://root:secret@127.0.0.1:{dead_port}/"
    assert_clear(scene.once(), 1, f"127.0.0.1:{dead_port} does not answer")


@both
def test_a_wrong_password(scene: Scene) -> None:
    """Trying again does not help, so it is no reason to retry."""
    scene.log_in_as(scene.account(), "not-this-one")
    assert_clear(scene.once(), 2, "Access denied")


def test_an_unreachable_kafka(scene: Scene, dead_port: int) -> None:
    """Without a limit a capture would seem to run."""
    outcome = scene.once("--bootstrap-servers", f"127.0.0.1:{dead_port}")
    assert_clear(outcome, 1, f"Kafka at 127.0.0.1:{dead_port} does not answer")


@pytest.mark.parametrize("command", ["capture", "check"])
def test_an_unknown_setting_in_the_file(scene: Scene, tmp_path: Path, command: str) -> None:
    """A setting with a typing error in it would be a setting that is not in force."""
    file = tmp_path / "meepo2.toml"
    file.write_text("[capture]\nheartbeat_second = 3\n")
    outcome = scene.command(command, "--config", str(file))
    assert_clear(outcome, 2, "[capture] has no setting 'heartbeat_second'", str(file))


def test_no_source_at_all(scene: Scene) -> None:
    """The first thing a new user meets."""
    del scene.settings["MEEPO2_SOURCE_DSN"]
    assert_clear(scene.once(), 2, "source.dsn is not set", "MEEPO2_SOURCE_DSN=")


def test_an_offset_out_of_range(scene: Scene) -> None:
    """Printing nothing would say that there is nothing."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.caught_up()
    assert_clear(scene.command("replay", "--from-offset", "999999"), 2, "--from-offset 999999")


def test_a_topic_that_does_not_exist(scene: Scene) -> None:
    """A broker that makes topics by itself would make this one."""
    assert_clear(scene.command("replay", "--topic", f"{scene.prefix}.no.such"), 2, f"{scene.prefix}.no.such")


def test_a_record_that_cannot_be_decoded(scene: Scene) -> None:
    """It is named by topic, partition and offset, so that it can be looked at."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1")
    producer = Producer({"bootstrap.servers": scene.kafka})
    producer.produce(scene.topic("test"), b"no record of ours")
    assert producer.flush(30) == 0
    outcome = scene.command("replay", "--json")
    assert_clear(outcome, 5, f"{scene.topic('test')}[0] offset ")


def test_a_command_that_does_not_exist() -> None:
    """Told on stderr, by the command line itself."""
    outcome = run("captrue", settings={})
    assert outcome.code == 2
    assert "No such command 'captrue'" in outcome.err
    assert outcome.out == ""


@contextmanager
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_source_that_never_says_a_word_does_not_hold_a_capture_that_is_stopped(scene: Scene) -> None:
    """A load balancer with nothing behind it: an instance that hangs keeps its standby from taking over."""
    with silent_port() as port:
        hanging = scene.launch(MEEPO2_SOURCE_DSN=f"mysql://root@127.0.0.1:{port}/")
        assert_clear(hanging.end(90), 1, "does not answer")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("MEEPO2_SOURCE_DSN_FILE", "mysql://cdc:hunter2@db1:3306/"),
        ("MEEPO2_SOURCE_PASSWORD_FILE", "hunter2"),
        ("MEEPO2_SCHEMA_REGISTRY_URL", "cdc:hunter2@registry:8081"),
    ],
)
def test_a_secret_in_the_wrong_setting_is_not_shown(setting: str, value: str) -> None:
    """It is then in a log, a ticket and a chat within the hour."""
    dsn = {} if "DSN" in setting else {"MEEPO2_SOURCE_DSN": "mysql://cdc@db1/"}
    outcome = run("capture", settings={**dsn, setting: value})
    assert outcome.code == 2
    assert "hunter2" not in outcome.out + outcome.err


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MEEPO2_START", "MEEPO2_CAPTURE_START"),
        ("MEEPO2_DSN", "MEEPO2_SOURCE_DSN"),
        ("MEEPO2_BOOTSTRAP_SERVERS", "MEEPO2_KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_a_variable_without_its_section_is_refused(variable: str, meant: str) -> None:
    """Ignored, a start at `earliest` is one at `latest`, which reads nothing and says nothing."""
    outcome = run("capture", settings={variable: "earliest"})
    assert_clear(outcome, 2, variable, meant)
