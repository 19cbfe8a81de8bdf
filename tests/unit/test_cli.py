"""The command line: what it says, where it says it, and what it returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, KafkaException

from meepo2_cdc import __version__
from meepo2_cdc.cli import main, printing
from meepo2_cdc.cli.status import against, ages
from meepo2_cdc.errors import ConfigError, Error, Fenced, PositionLost, UnreadableData
from meepo2_cdc.kafka.reader import Record
from meepo2_cdc.records.avro import schema_text
from meepo2_cdc.records.checkpoint import Checkpoint
from tests.kafka import record

CHECKPOINT = Checkpoint(
    source="db",
    flavor="mysql",
    server=None,
    gtid_set=None,
    file="binlog.000002",
    position=100,
    gtid=None,
    undecided=None,
    rows_done=0,
    seq=7,
    tables=("*.*",),
    committed_at=datetime(2026, 7, 1, 12, tzinfo=UTC),
    written_by="test",
    written_at=datetime(2026, 7, 1, 12, 0, 5, tzinfo=UTC),
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.cli, list(arguments), prog_name="meepo2-cdc")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, *arguments: str) -> Result:
    """What the command line makes of an error in a command."""

    @click.command()
    def topics() -> None:
        raise error

    monkeypatch.setattr("meepo2_cdc.cli.topics.topics", topics)
    return run(*arguments, "topics")


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in main.COMMANDS:
        command = main.command_named(name)
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in command.commands.items()]
    return found


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_is_there_and_described_in_the_list(name: str):
    """A command that is listed and cannot be imported fails on the day it is needed."""
    command = main.command_named(name)
    assert command.name == name
    assert run(name, "--help").exit_code == 0


def test_every_help_ends_with_an_example():
    """Options alone do not show how a command is used."""
    for name, command in commands():
        last = run(*name.split(), "--help").output.rstrip().splitlines()
        assert "Example:" in "\n".join(last[-4:]), name
        assert f"meepo2-cdc {name.split()[0]}" in "\n".join(last[-3:]), name
        assert command.help, name


def test_help_and_version_are_quick_because_they_import_nothing_of_the_work():
    """Shell completion asks at every key."""
    heavy = ["confluent_kafka", "pydantic", "sqlalchemy", "fastavro", "pymysql", "rich"]
    program = (
        "import sys; from meepo2_cdc.cli.main import cli\n"
        "try: cli([sys.argv[1]])\n"
        f"except SystemExit: print([m for m in {heavy!r} if m in sys.modules])"
    )
    for option, said in (("--help", "Usage: "), ("--version", __version__)):
        done = subprocess.run(
            [sys.executable, "-c", program, option], capture_output=True, text=True, check=True, timeout=60
        )
        assert said in done.stdout
        assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [(Error, 1), (ConfigError, 2), (PositionLost, 3), (Fenced, 4), (UnreadableData, 5)],
)
def test_an_error_is_one_message_on_stderr_and_its_exit_code(monkeypatch, error: type[Error], code: int):
    """A supervisor restarts by exit code; a person reads the message."""
    result = failing(monkeypatch, error("a fact", fix="Do this.\nThen that."))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == f"meepo2-cdc: a fact\n{'':12}Do this.\n{'':12}Then that.\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), 1, "Kafka: Local: Broker transport failure"),
        (
            KafkaException(KafkaError(KafkaError._INVALID_ARG, "No such property")),
            2,
            "[kafka] is not accepted: No such",
        ),
        (ConnectionRefusedError("refused"), 1, "ConnectionRefusedError: refused"),
        (RuntimeError("boom"), 1, "unexpected RuntimeError: boom"),
    ],
)
def test_errors_of_libraries_become_one_line_without_traceback(monkeypatch, error: Exception, code: int, said: str):
    """Forty lines of traceback hide the one that says which broker is down."""
    result = failing(monkeypatch, error)
    assert result.exit_code == code
    assert result.stderr.startswith(f"meepo2-cdc: {said}")
    assert "Traceback" not in result.stderr


def test_a_traceback_is_shown_on_demand(monkeypatch):
    """A fault of the program cannot be found without it."""
    assert "Traceback" in failing(monkeypatch, RuntimeError("boom"), "--debug").stderr
    monkeypatch.setenv("MEEPO2_DEBUG", "1")
    assert "Traceback" in failing(monkeypatch, RuntimeError("boom")).stderr


def test_ctrl_c_exits_with_130(monkeypatch):
    """Shell loops go on after any other code."""
    result = failing(monkeypatch, KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "")


def test_a_closed_pipe_ends_the_command_quietly():
    """`| head` is no error, and a traceback after its output looks like one."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", "from meepo2_cdc.cli.main import main; main()", "schemas", "show", "table_action"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_option_or_command_exits_with_2():
    """As every wrong setting does."""
    assert run("topics", "--bogus").exit_code == 2
    assert run("bogus").exit_code == 2


@pytest.mark.parametrize(
    ("option", "value", "instead"),
    [
        ("--source-dsn", "mysql://cdc:hunter2@db1/", "MEEPO2_SOURCE_DSN"),
        ("--source-dsn", "mysql://cdc:hunter2@db1/", "source.password_file"),
    ],
)
def test_a_password_on_the_command_line_is_refused(option: str, value: str, instead: str):
    """`ps` shows it to every user of the machine."""
    result = run("status", option, value)
    assert result.exit_code == 2
    assert instead in result.stderr
    assert "hunter2" not in result.output


def test_a_registry_password_on_the_command_line_is_refused():
    """As a server's is."""
    result = run("replay", "--schema-registry-url", "http://u:hunter2@registry/")
    assert result.exit_code == 2
    assert "MEEPO2_SCHEMA_REGISTRY_URL" in result.stderr
    assert "hunter2" not in result.output


def test_a_wrong_flag_is_named():
    """Not the setting behind it, which the reader has not typed."""
    assert "--prefix is 'a b'" in run("topics", "--prefix", "a b").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from-offset", "x"),
        ("--from-offset", "1", "--from-timestamp", "2026-07-01T00:00:00Z"),
        ("--to-offset", "1", "--to-timestamp", "2026-07-01T00:00:00Z"),
        ("--from-timestamp", "2026-07-01T00:00:00"),
        ("--table", "orders"),
        ("--action", "insert"),
        ("--limit", "0"),
    ],
)
def test_a_replay_that_makes_no_sense_is_refused_before_anything_is_asked_of_kafka(arguments: tuple[str, ...]):
    """Half of it would be read as something that was not meant."""
    assert run("replay", "--bootstrap-servers", "127.0.0.1:1", *arguments).exit_code == 2


def test_schemas_are_shown_as_released():
    """Other languages generate code from them, byte for byte."""
    assert run("schemas", "show", "table_action", "--version", "1").stdout == schema_text("table_action")
    assert run("schemas", "show", "checkpoint").stdout == schema_text("checkpoint", 2)
    assert run("schemas", "show", "checkpoint", "--version", "1").stdout == schema_text("checkpoint", 1)
    listed = run("schemas", "list").stdout
    assert "table_key" in listed
    assert "c3 01" in listed


def test_a_schema_that_does_not_exist_is_refused_with_those_that_do():
    """A typo would write an empty file."""
    assert "table_action, table_key, checkpoint" in run("schemas", "show", "tabel_action").stderr
    result = run("schemas", "show", "table_key", "--version", "99")
    assert (result.exit_code, result.stdout) == (2, "")


def test_a_record_as_json_keeps_its_types():
    """An integer key as a float, or bytes as text, is another key."""
    one = record(2**53 + 1, pk=(2**63 - 1, "ü\n", b"\x00\xff", 0.5, -1))
    line = printing.record_json(Record(one, "p.shop.orders", 3, 44))
    assert "\n" not in line
    assert json.loads(line) == {
        "action": "write",
        "schema": "shop",
        "table": "orders",
        "pk": [2**63 - 1, "ü\n", {"base64": "AP8="}, 0.5, -1],
        "committed_at": one.committed_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "snapshot": False,
        "seq": 2**53 + 1,
        "source": {
            "name": "db",
            "gtid": None,
            "file": "binlog.000001",
            "position": 4 + 2**53 + 1,
            "row": 0,
        },
        "topic": "p.shop.orders",
        "partition": 3,
        "offset": 44,
    }


def test_a_key_cannot_write_to_the_terminal():
    """Keys come from users; an escape sequence in one would run in the operator's terminal."""
    row = printing.record_row(Record(record(1, pk=("\x1b[2J", b"\x1b", "a  b")), "t", 0, 0))
    assert row[3] == '"\\u001b[2J", 0x1b, "a  b"'


def test_columns_are_aligned():
    """A table that does not line up is read wrongly."""
    lines = list(printing.aligned(("a", "b"), [("1", "x"), ("1000", "")]))
    assert lines == ["a     b", "1     x", "1000"]


def test_the_bytes_between_a_checkpoint_and_the_server_count_the_files_between():
    """Positions of two files say nothing when they are subtracted."""
    logs = [("binlog.000001", 500), ("binlog.000002", 300), ("binlog.000003", 40)]
    shown = against(CHECKPOINT, logs)
    assert shown["bytes_behind"] == 200 + 40
    assert shown["server_has_checkpoint_file"]
    assert (shown["server_file"], shown["server_position"]) == ("binlog.000003", 40)


def test_a_purged_file_is_shown_as_gone():
    """It is the warning before exit code 3."""
    shown = against(CHECKPOINT, [("binlog.000003", 40)])
    assert (shown["server_has_checkpoint_file"], shown["bytes_behind"]) == (False, None)


def test_ages_are_in_seconds():
    """An alert is written against them."""
    now = datetime(2026, 7, 1, 12, 1, tzinfo=UTC)
    assert ages(CHECKPOINT, now) == {"written_seconds_ago": 55.0, "committed_seconds_ago": 60.0}
