"""
`meepo2-cdc check`: everything that a capture needs, looked at before it is started.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meepo2_cdc.checks import CHECKS, Finding, unknown
from meepo2_cdc.cli.options import settings_options
from meepo2_cdc.errors import ConfigError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from meepo2_cdc.config import Settings

_COLOURS = {"ok": "green", "note": "yellow", "FAIL": "red"}


def _explain(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
    """Needs no settings and no server, so it is answered before any of them is looked at."""
    if name is None or context.resilient_parsing:
        return
    if name not in CHECKS:
        raise click.BadParameter(unknown(name), context, parameter)
    about = CHECKS[name]
    click.echo(f"{name}\n\n{_paragraph(about.what)}\n\nWhy\n{_paragraph(about.why)}\n\nHow to mend it")
    click.echo(_paragraph(about.mend))
    context.exit()


def _paragraph(text: str) -> str:
    return click.wrap_text(text, 100, "  ", "  ")


def _names(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=about.what) for name, about in CHECKS.items() if name.startswith(begun)]


@click.command(
    epilog="""\b
Example:
  MEEPO2_SOURCE_DSN=mysql://cdc:secret@db1:3306/ meepo2-cdc check --tables 'shop.*'
  meepo2-cdc check --explain log-retention
"""
)
@settings_options("schema-registry-url", "tables", "source-name", "source-dsn", "server-id")
@click.option("--json", "in_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--write",
    is_flag=True,
    help="Look at Kafka's clock too, by a record in the topic PREFIX.lock.SOURCE.clock, which is made for it.",
)
@click.option(
    "--explain", metavar="NAME", expose_value=False, is_eager=True, callback=_explain, shell_complete=_names,
    help="Only say what the check NAME looks at, why, and how to mend what it finds.",
)  # fmt: skip
def check(settings: Settings, in_json: bool, write: bool) -> None:
    """
    Check the server's settings, the grants, the tables, Kafka, the schema registry and the connectors that are set up.

    Prints what was found, and for what will not do the statement that mends it.  Exit code 2 when a capture would
    refuse to start or soon end, or a connector that is set up could not run; notes do not change the exit code.
    Without --write it changes nothing.
    """
    config = click.get_current_context().params.get("config")
    show = _as_json if in_json else _in_table() if sys.stdout.isatty() else _in_lines
    states = list(show(_findings(settings, config, write)))
    failed = states.count("FAIL")
    if failed:
        raise ConfigError(f"{failed} of {len(states)} checks failed", fix="Mend them as printed, then check again.")


def _findings(settings: Settings, config: Path | None, write: bool) -> Iterator[Finding]:
    from meepo2_cdc.capture.build import server_id_of
    from meepo2_cdc.capture.preflight import inspect_all
    from meepo2_cdc.replay import preflight as of_connectors

    yield from inspect_all(settings, server_id_of(settings), write=write)
    yield from of_connectors.inspect(settings, config)


def _as_json(findings: Iterable[Finding]) -> Iterator[str]:
    from meepo2_cdc.cli.printing import as_json

    for one in findings:
        told = {
            "check": one.name,
            "state": one.state.lower(),
            "found": one.found,
            "fix": None if one.passed else one.fix,
        }
        click.echo(as_json(told))
        yield one.state


def _in_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """As they come; for people who read it in a file, and for grep."""
    for one in findings:
        click.echo(f"{one.state:4}  {one.name:22} {_visible(one.found)}")
        if not one.passed:
            click.echo(_lines(one.fix, f"{'':29}"))
        yield one.state


def _visible(text: str) -> str:
    """A table's name may hold what moves the cursor."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _lines(text: str, margin: str = "") -> str:
    return "\n".join(margin + _visible(line) for line in text.splitlines())


def _in_table() -> Callable[[Iterable[Finding]], Iterator[str]]:
    """For a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def shown(findings: Iterable[Finding]) -> Iterator[str]:
        console, table = Console(), Table("", "check", "found, and what mends it", box=box.SIMPLE_HEAD)
        with console.status("") as status:
            for one in findings:
                status.update(f"checked: {one.name}")
                text = Text(_visible(one.found))
                if not one.passed:
                    text.append(f"\n{_lines(one.fix)}", style="bold" if one.state == "FAIL" else "dim")
                table.add_row(Text(one.state, style=_COLOURS[one.state]), one.name, text)
                yield one.state
        console.print(table)

    return shown
