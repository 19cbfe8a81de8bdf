"""
The tool that brings the tests' servers up, without any of them.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.services import __main__ as command_line
from tests.services import addresses, bring, catalogue, containers, places, running
from tests.services.running import Command, Unavailable
from tests.services.server import Container, Server

SLEEPER = "import time; time.sleep(600)"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(places, "STATE", tmp_path)
    monkeypatch.setenv("MEEPO2_TEST_ENGINE", "none")
    for variable in addresses.VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def _server(name: str, command: Callable[[Path, Sequence[int]], Command]) -> Server:
    return Server(
        name=name,
        address=lambda host, port: f"{host}:{port}",
        why_silent=lambda address: "",
        command=command,
        container=lambda directory, host, port: Container("none", port),
    )


def _never(directory: Path, ports: Sequence[int]) -> Command:
    pytest.fail("it was started")


def _cannot(directory: Path, ports: Sequence[int]) -> Command:
    raise Unavailable("needs a thing nobody has. Install it", "the log's end")


def _sleeper(directory: Path, ports: Sequence[int]) -> Command:
    return Command([sys.executable, "-c", SLEEPER, f"{directory}/settings"])


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, state: Path) -> Iterator[Callable[..., None]]:
    """Lets the tool know these servers and no other; what they leave running is ended."""

    def replace(*servers: Server) -> None:
        for name in list(catalogue.SERVERS):
            monkeypatch.delitem(catalogue.SERVERS, name)
        for server in servers:
            monkeypatch.setitem(catalogue.SERVERS, server.name, server)

    yield replace
    for pid_file in state.glob("*/pid"):
        running.stop(pid_file.parent, seconds=5)


def test_an_address_from_the_environment_wins(
    only: Callable[..., None], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test against the operator's own server must not silently run against another."""
    only(_server("kafka", _never))
    (state / "env").write_text("export MEEPO2_TEST_KAFKA=127.0.0.1:1\n")
    assert addresses.address("kafka") == "127.0.0.1:1"

    monkeypatch.setenv("MEEPO2_TEST_KAFKA", "elsewhere:9092")
    assert addresses.address("kafka") == "elsewhere:9092"
    assert bring.up(catalogue.find("kafka")) == bring.Up("elsewhere:9092", "from the environment")


def test_an_address_we_wrote_ourselves_does_not_keep_a_stopped_server_down(
    only: Callable[..., None], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that read .services/env has our addresses in its environment, also after `down`."""
    only(_server("kafka", _sleeper))
    first = bring.up(catalogue.find("kafka"))
    assert bring.down(state / "kafka").startswith("stopped, pid ")

    monkeypatch.setenv("MEEPO2_TEST_KAFKA", first.address)
    again = bring.up(catalogue.find("kafka"))
    assert again.address == first.address
    assert again.how.startswith("started, pid ")


def test_an_unknown_name_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name that is passed over would let its tests be skipped."""
    with pytest.raises(SystemExit) as refusal:
        command_line.main(["up", "mysq?"])
    assert refusal.value.code == 2
    assert "no server 'mysq'; there are: mysql, mysql9, mariadb, mariadb11, kafka, registry" in capsys.readouterr().err

    with pytest.raises(ValueError, match="no server 'mysq'; there are: mysql, "):
        addresses.address("mysq")


def test_only_a_server_that_is_not_optional_fails_the_run(
    only: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """What a machine cannot have must not stop the others; what it must have, must."""
    only(_server("mysql9", _cannot), _server("kafka", _sleeper))
    assert command_line.main(["up", "mysql9?", "kafka"]) == 0
    out, err = capsys.readouterr()
    assert "mysql9    left out: needs a thing nobody has. Install it, or set MEEPO2_TEST_MYSQL9_DSN." in out
    assert "kafka     127.0.0.1:" in out
    assert err == ""

    assert command_line.main(["up", "mysql9", "kafka"]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "mysql9: needs a thing nobody has. Install it, or set MEEPO2_TEST_MYSQL9_DSN.",
        "    the log's end",
    ]
    assert "already running" in out


def test_a_stale_pid_file_of_another_process_is_not_signalled(state: Path) -> None:
    """A pid is given out again: what the file names may be anybody's."""
    ours, others = state / "kafka", state / "kafka2"
    ours.mkdir()
    others.mkdir()
    process = running.spawn(others, _sleeper(others, []))
    (ours / "pid").write_text(str(process.pid))
    try:
        assert running.pid_of(others) == process.pid
        assert running.pid_of(ours) is None
        assert running.stop(ours) is None
        assert not (ours / "pid").exists()
        assert process.poll() is None
    finally:
        assert running.stop(others, seconds=5) == process.pid
    assert process.wait(5) < 0


def test_a_server_that_ends_at_once_is_told_with_its_log(only: Callable[..., None]) -> None:
    """Waiting out the time for a dead server, or not saying why, costs the reader the afternoon."""

    def dies(directory: Path, ports: Sequence[int]) -> Command:
        return Command([sys.executable, "-c", "print('port is cursed')", f"{directory}/settings"])

    server = replace(_server("kafka", dies), why_silent=lambda address: "refused")
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"ended while it started \(refused\)") as failure:
        bring.up(server)
    assert failure.value.log == "port is cursed\n"
    assert time.monotonic() - began < 30


def test_the_file_for_the_shell_reads_back_as_it_was(state: Path) -> None:
    """A DSN's password may hold any character."""
    values = {"MEEPO2_TEST_KAFKA": "a:1", "MEEPO2_TEST_MYSQL_DSN": "mysql://root:o'$x #\\@127.0.0.1:1/"}
    addresses.write_exports(state / "env", values)
    assert addresses.read_exports(state / "env") == values

    shell = f'. {shlex.quote(str(state / "env"))}; printf %s "$MEEPO2_TEST_MYSQL_DSN"'
    assert subprocess.check_output(["sh", "-c", shell], text=True) == values["MEEPO2_TEST_MYSQL_DSN"]


def test_a_half_made_directory_is_not_taken_for_a_whole_one(state: Path) -> None:
    """An interrupted download must be downloaded again."""

    def interrupted(new: Path) -> None:
        (new / "half").touch()
        raise KeyboardInterrupt

    def whole(new: Path) -> None:
        (new / "whole").touch()

    with pytest.raises(KeyboardInterrupt):
        places.made_once(state / "jars", interrupted)
    assert list(state.iterdir()) == []
    assert [path.name for path in places.made_once(state / "jars", whole).iterdir()] == ["whole"]
    assert [path.name for path in places.made_once(state / "jars", interrupted).iterdir()] == ["whole"]


def test_no_engine_is_asked_for_when_it_was_declined() -> None:
    """`MEEPO2_TEST_ENGINE=none` is how a machine with Docker gets the native servers."""
    assert containers.engine() is None
