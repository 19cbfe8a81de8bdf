"""
What a real bash completes, by the script that the command prints.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.command import COMMAND, environment, run
from tests.kafka import Topics

PROGRAM = """
set -e
eval "$(meepo2-cdc completion bash)"
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
complete -p meepo2-cdc >/dev/null
function=$(complete -p meepo2-cdc | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function meepo2-cdc "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(*words: str, **settings: str) -> list[str]:
    """What bash would offer for the last word."""
    variables = environment(settings)
    variables["PATH"] = f"{COMMAND.parent}:{variables['PATH']}"
    command = ["bash", "--norc", "-c", PROGRAM, "bash", "meepo2-cdc", *words]
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["che"], ["check", "checkpoint"]),
        (["checkpoint", "re"], ["rewind"]),
        (["run", "redis"], ["redis_replicator"]),
        (["check", "--explain", "log-r"], ["log-retention"]),
        (["init", "--connector", "web"], ["webhook"]),
        (["check", "--explai"], ["--explain"]),
    ],
    ids=" ".join,
)
def test_names_are_completed(words: list[str], expected: list[str]) -> None:
    """At night nobody remembers them."""
    assert completed(*words) == expected


def test_topics_and_tables_are_completed_from_kafka(kafka: str, prefix: str) -> None:
    """They are long, and a typing error in one finds nothing, which looks like nothing is there."""
    Topics(kafka).create(f"{prefix}.shop.orders")
    settings = {"MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka, "MEEPO2_PREFIX": prefix}
    assert completed("replay", "--topic", f"{prefix}.sh", **settings) == [f"{prefix}.shop.orders"]
    assert completed("replay", "--prefix", prefix, "--table", "sh", MEEPO2_KAFKA_BOOTSTRAP_SERVERS=kafka) == [
        "shop.orders"
    ]


def test_what_cannot_be_known_is_left_to_the_user() -> None:
    """A complaint in the middle of a line that is being typed."""
    assert completed("replay", "--topic", "x", MEEPO2_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1") == []
    assert completed("replay", "--topic", "x", MEEPO2_TABLES="nonsense") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(shell: str, tmp_path: Path) -> None:
    """Named like the command, or it completes nothing."""
    told = run("completion", shell, settings={})
    assert told.code == 0
    assert "_MEEPO2_CDC_COMPLETE" in told.out
    assert "meepo2-cdc" in told.out
