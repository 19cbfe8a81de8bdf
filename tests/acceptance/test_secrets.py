"""
A password is nowhere but where it was given: in no output, and in no list of processes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Outcome, run
from tests.scenes import Scene, both

CANARY = "C4nary-Sings_0nce!"
DEBUG = {"MEEPO2_LOG_LEVEL": "DEBUG", "MEEPO2_DEBUG": "1", "MEEPO2_KAFKA_DEBUG": "all"}


@pytest.fixture
def guarded(scene: Scene) -> Scene:
    """A scene whose capture logs in with the canary, and tells all that it can tell."""
    scene.log_in_as(scene.account(CANARY), CANARY)
    scene.settings |= DEBUG
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1)")
    return scene


def assert_silent(outcome: Outcome) -> None:
    assert CANARY not in outcome.out
    assert CANARY not in outcome.err


@both
def test_a_capture_that_runs_does_not_tell_the_password(guarded: Scene) -> None:
    """Logs are copied to places where everybody reads them; `ps` is read by everybody on the machine."""
    capture = guarded.capture()
    assert CANARY not in Path(f"/proc/{capture.pid}/cmdline").read_text()
    guarded.wait_for(1)
    for dump in guarded.server.dumps_of(guarded.settings["MEEPO2_SOURCE_DSN"].split("/")[2].split(":")[0]):
        guarded.server.run(f"KILL {dump}")
    guarded.run("INSERT INTO test VALUES (2)")
    guarded.wait_for(2)
    assert_silent(capture.stop())


def test_commands_that_succeed_do_not_tell_the_password(guarded: Scene) -> None:
    """Their output goes into tickets."""
    assert_silent(guarded.caught_up())
    for arguments in (["check"], ["checkpoint", "show"], ["checkpoint", "show", "--json"], ["replay"], ["topics"]):
        outcome = guarded.command(*arguments)
        assert outcome.code == 0, outcome.err
        assert_silent(outcome)


def test_commands_that_fail_do_not_tell_the_password(guarded: Scene) -> None:
    """Errors quote what they were given, if one lets them."""
    dsn = guarded.settings["MEEPO2_SOURCE_DSN"]
    broken = (
        {"MEEPO2_SOURCE_DSN": dsn.replace("127.0.0.1", "127.0.0.1:1:1")},
        {"MEEPO2_SOURCE_DSN": dsn.replace("mysql:", "postgres:")},
        {"MEEPO2_SOURCE_DSN": dsn.replace("//", "//not-")},
        {"MEEPO2_SOURCE_DSN": dsn.replace("@", "@@")},
        {"MEEPO2_SOURCE_DSN": dsn + "?ssl=" + CANARY},
        {"MEEPO2_CAPTURE_START": "nowhere.000001:4"},
        {"MEEPO2_KAFKA_SASL_PASSWORD": CANARY, "MEEPO2_KAFKA_NO_SUCH": CANARY},
        {"MEEPO2_SCHEMA_REGISTRY_URL": f"http://user:{CANARY}@127.0.0.1:1/"},
    )
    for settings in broken:
        outcome = guarded.once(**settings)
        assert outcome.code != 0, settings
        assert_silent(outcome)


def test_a_password_on_the_command_line_is_refused(scene: Scene) -> None:
    """Everybody on the machine can read it there."""
    outcome = scene.once("--source-dsn", scene.server.dsn_of("root", CANARY))
    assert outcome.code == 2
    assert "holds a password" in outcome.err
    assert_silent(outcome)


def test_a_password_in_a_file_is_not_told_either(guarded: Scene, tmp_path: Path) -> None:
    """The file of settings and the file of the secret are read, never quoted."""
    secret, config = tmp_path / "dsn", tmp_path / "meepo2.toml"
    secret.write_text(guarded.settings.pop("MEEPO2_SOURCE_DSN") + "\n")
    config.write_text(f'[source]\ndsn_file = "{secret}"\n')
    assert_silent(guarded.caught_up("--config", str(config)))
    config.write_text(f'[source]\ndsn = ["{secret.read_text().strip()}"]\n')
    outcome = run("capture", "--once", "--config", str(config), settings=guarded.settings)
    assert outcome.code == 2
    assert_silent(outcome)
