"""
Commands that the documentation names are there, with the options that it gives them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from meepo2_cdc.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])
_COMMAND = re.compile(r"^[`\s$]*(?:\w+=\S+ +)*(?:\S+/)?meepo2-cdc (?P<rest>[\w-][^`\n]*)", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`|^(?: {4}|\t)[^\n]*$|^```[\s\S]*?^```$", re.MULTILINE)


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words behind the program's name, of each place in code; what a shell would do with the rest is left out."""
    for code in _CODE.findall(page.read_text(encoding="utf-8").replace("\\\n", " ")):
        for match in _COMMAND.finditer(code):
            rest = re.split(r"\s(?:#|\||&&|>|<)|[;)]|\s{3,}|\.\.\.", match["rest"])[0]
            try:
                yield shlex.split(rest)
            except ValueError:
                yield rest.split()


def _by_default(group: click.Group, context: click.Context) -> click.Command | None:
    """`snapshot TABLE` is short for `snapshot start TABLE`; other groups have no such."""
    return group.get_command(context, "start")


def complaint(words: list[str]) -> str:
    """ "" where the command line knows the command and its options."""
    command: click.Command = cli
    context = click.Context(cli)
    for number, word in enumerate(words):
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(context, word) or _by_default(command, context)
            if found is None:
                return f"no command {word}"
            command = found
        elif word.startswith("--"):
            options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
            if word.partition("=")[0] not in options:
                return f"no option {word} of {' '.join(words[:number])}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_commands_that_there_are(page: Path) -> None:
    """It is copied from there."""
    wrong = [f"meepo2-cdc {' '.join(words)}: {why}" for words in commands_in(page) if (why := complaint(words))]
    assert wrong == []


def test_the_pages_name_commands() -> None:
    """Otherwise this looks for them where they are not."""
    assert sum(1 for page in PAGES for _ in commands_in(page)) > 80
    assert complaint(["chekc"])
    assert complaint(["check", "--confg", "x"])
