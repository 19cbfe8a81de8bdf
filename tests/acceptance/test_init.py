"""
`meepo2-cdc init`: what it writes is what the program reads, and a capture runs by it.
"""

from __future__ import annotations

import os
import pty
import tomllib
from pathlib import Path

import pytest

from meepo2_cdc.config import load
from meepo2_cdc.replay.connectors import choose, installed
from tests.command import COMMAND, Outcome, environment, run
from tests.scenes import Scene

DSN = "mysql://cdc@db1:3306/"


def init(*arguments: str, settings: dict[str, str] | None = None) -> Outcome:
    return run("init", *arguments, settings=settings or {})


def test_a_capture_runs_by_the_file(scene: Scene, tmp_path: Path, redis_url: str) -> None:
    """A file that looks right and is refused is worse than none."""
    password, secret, file = 'Pw of%a"test', tmp_path / "password", tmp_path / "shop.toml"
    secret.write_text(password + "\n")
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    source = f"mysql://{scene.account(password)}@{scene.server.host}:{scene.server.port}/"
    written = init(
        "--source", source, "--password-file", str(secret), "--bootstrap-servers", scene.kafka, "--prefix",
        scene.prefix, "--tables", f"{scene.database}.*,!{scene.database}.tmp_*", "--connector", "redis-replicator",
        "--start", scene.settings["MEEPO2_CAPTURE_START"], str(file),
    )  # fmt: skip
    assert written.code == 0, written.err
    assert f"meepo2-cdc check --config {file}" in written.err
    variables = {"REDIS_REPLICATOR_URL": redis_url}
    checked = run("check", "--config", str(file), settings=variables)
    assert checked.code == 0, checked.out + checked.err
    assert "redis_replicator: its target answers" in checked.out
    scene.run("INSERT INTO test VALUES (1)")
    captured = run("capture", "--once", "--config", str(file), settings=variables)
    assert captured.code == 0, captured.err
    assert scene.changes() == [("write", (1,))]


def test_every_connector_can_be_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A section that its own connector refuses would be found by who deploys it."""
    names = [one.name for one in installed()]
    file = tmp_path / "all.toml"
    assert init("--source", DSN, *(f"--connector={name}" for name in names), str(file)).code == 0
    for name in names:
        monkeypatch.setenv(f"{name}_URL".upper(), "redis://localhost:6379/0")
    values = {
        "SOURCE_PASSWORD": "p", "WEBHOOK_URL": "http://localhost/", "RQ_FUNCTION": "a.b",
        "SQL_REPLICATOR_TARGET_URL": f"sqlite:///{tmp_path}/target",
    }  # fmt: skip
    for variable, value in values.items():
        monkeypatch.setenv(variable, value)
    listens = {"zmq", "nanomsg"}  # they want an address for which there is no default
    for name in sorted({*names} - listens):
        assert choose(name, config=file).name == name


def test_every_comment_is_a_setting(tmp_path: Path) -> None:
    """What is uncommented must be read: a default that the program refuses would mislead."""
    file = tmp_path / "bare.toml"
    assert init("--source", DSN, str(file)).code == 0
    lines = file.read_text().splitlines()
    defaults = [line[1:] for line in lines if line.startswith("#") and " = " in line and line[1] not in " "]
    assert len(defaults) > 25
    uncommented = [line[1:] if line[1:] in defaults and not line.endswith(" = ...") else line for line in lines]
    file.write_text("\n".join(uncommented))
    variables = {"SOURCE_PASSWORD": "p"}
    assert load(config=file, environment=variables) == load(
        environment={"MEEPO2_SOURCE_DSN": "mysql://cdc:p@db1:3306/"}
    )


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A file with a day's work in it."""
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    refused = init("--source", DSN, str(file))
    assert (refused.code, file.read_text()) == (2, "mine")
    assert "--force" in refused.err
    assert init("--source", DSN, "--force", str(file)).code == 0
    assert tomllib.loads(file.read_text())["prefix"] == "meepo2"


def test_a_password_is_not_written(tmp_path: Path) -> None:
    """Settings files are committed to repositories."""
    file = tmp_path / "shop.toml"
    refused = init("--source", "mysql://cdc:S3cret@db1/", str(file))
    assert (refused.code, file.exists()) == (2, False)
    assert "S3cret" not in refused.err
    assert init("--source", DSN, "--schema-registry-url", "http://me:S3cret@r/", str(file)).code == 2


@pytest.mark.parametrize("prefix", ["nobody can have this", '"\n[capture]\nrows = []\nx="', "${HOME}"])
def test_an_answer_that_the_program_would_refuse_is_refused(tmp_path: Path, prefix: str) -> None:
    """By what it says at the start too; and no answer is taken for more than itself."""
    refused = init("--source", DSN, "--prefix", prefix, str(tmp_path / "x.toml"))
    assert (refused.code, list(tmp_path.iterdir())) == (2, [])
    assert "prefix" in refused.err


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    """A pipeline would hang."""
    refused = init(str(tmp_path / "x.toml"))
    assert (refused.code, "--source" in refused.err) == (2, True)


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    """Whoever begins does not know the flags."""
    file = tmp_path / "asked.toml"
    child, terminal = pty.fork()
    if child == 0:
        os.execve(COMMAND, [str(COMMAND), "init", "--prefix", "given", str(file)], environment({"TERM": "dumb"}))  # noqa: S606 - a terminal of its own
    os.write(terminal, f"{DSN}\n/run/secrets/db\nkafka1:9092\n\n\nshop.*\n\n".encode())
    said = b""
    with open(terminal, "rb", buffering=0) as heard:
        try:
            while part := heard.read(4096):
                said += part
        except OSError:  # Linux: the other end is closed
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said.decode()
    made = tomllib.loads(file.read_text())
    assert (made["prefix"], made["tables"], made["source"]["dsn"]) == ("given", ["shop.*"], DSN)
    assert made["source"]["password_file"] == "/run/secrets/db"  # noqa: S105 - a file
