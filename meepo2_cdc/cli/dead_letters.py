"""
`meepo2-cdc dead-letters`: records that a connector could not apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.errors import ConfigError, Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from meepo2_cdc.config import Settings
    from meepo2_cdc.kafka.dead_letters import DeadLetter, DeadLetters
    from meepo2_cdc.records import TableAction
    from meepo2_cdc.replay.connectors import Chosen

_SHOWN = 80

name_argument = click.argument("name")
which = click.argument("offsets", nargs=-1, type=click.IntRange(min=0), metavar="[OFFSET]...")
every = click.option("--all", "every", is_flag=True, help="All that wait.")


@click.group(
    epilog="""\b
Example:
  meepo2-cdc dead-letters list redis_replicator
"""
)
def dead_letters() -> None:
    """List, show, replay and drop the records that a connector set aside."""


@dead_letters.command(
    "list",
    epilog="""\b
Example:
  meepo2-cdc dead-letters list redis_replicator
""",
)
@settings_options("schema-registry-url")
@name_argument
@click.option("--json", "in_json", is_flag=True, help="One JSON object a line.")
def list_(settings: Settings, name: str, in_json: bool) -> None:
    """List the dead letters of NAME, a connector or an application's group, that nobody has dealt with."""
    from meepo2_cdc.cli.printing import aligned, as_json, print_lines, printable

    describe = _describe(settings)
    letters = _letters(settings, name).waiting()
    if in_json:
        print_lines(as_json(_facts(one, describe)) for one in letters)
        return
    rows = [
        (str(one.offset), one.failed_at, one.origin, describe(one), one.tries, printable(one.why)[:_SHOWN])
        for one in letters
    ]
    print_lines(aligned(("offset", "failed at", "read from", "record", "tries", "why"), rows))


@dead_letters.command(
    epilog="""\b
Example:
  meepo2-cdc dead-letters show redis_replicator 17
"""
)
@settings_options("schema-registry-url")
@name_argument
@click.argument("offset", type=click.IntRange(min=0))
def show(settings: Settings, name: str, offset: int) -> None:
    """Show all that is known of one dead letter: its record, its bytes and every header."""
    from meepo2_cdc.cli.printing import fields, print_lines

    (letter,) = _named(_letters(settings, name).waiting(), (offset,), every=False)
    key, value = letter.message.key(), letter.message.value()
    told = {
        "offset": letter.offset,
        "record": _describe(settings)(letter),
        "key": None if key is None else key.hex(" "),
        "value": None if value is None else value.hex(" "),
    }
    print_lines(fields(told | dict(letter.headers)))


@dead_letters.command(
    epilog="""\b
Example:
  meepo2-cdc dead-letters replay redis_replicator --all
"""
)
@settings_options("schema-registry-url", connector="required")
@which
@every
@log_options
def replay(chosen: Chosen, offsets: tuple[int, ...], every: bool) -> None:
    """Apply dead letters again; those that fail once more become new dead letters."""
    from meepo2_cdc.replay.build import letters_runner

    letters = _letters(chosen.settings, chosen.name)
    named = _named(letters.waiting(), offsets, every)
    runner, failed = letters_runner(chosen, letters, named)
    runner.run()
    letters.settle(named)
    click.echo(f"{len(named) - failed.count} applied, {failed.count} set aside again", err=True)
    if failed.count:
        raise Error(f"{failed.count} of {len(named)} dead letters failed again")


@dead_letters.command(
    epilog="""\b
Example:
  meepo2-cdc dead-letters drop redis_replicator 17 18
"""
)
@settings_options("schema-registry-url")
@name_argument
@which
@every
def drop(settings: Settings, name: str, offsets: tuple[int, ...], every: bool) -> None:
    """Mark dead letters as dealt with, without applying them; their bytes stay in the topic."""
    letters = _letters(settings, name)
    named = _named(letters.waiting(), offsets, every)
    letters.settle(named)
    click.echo(f"{len(named)} dropped", err=True)


def _letters(settings: Settings, name: str) -> DeadLetters:
    from meepo2_cdc.kafka.clients import connect
    from meepo2_cdc.kafka.topics import partition_counts
    from meepo2_cdc.replay.build import dead_letters as of

    there = [one for one in partition_counts(connect(settings.kafka)) if one.endswith(".dead-letters")]
    letters = of(settings, name)
    if letters.topic not in there:
        click.echo(f"there is no topic {letters.topic}: nothing was set aside", err=True)
        if there:
            click.echo(f"there are {', '.join(sorted(there))}", err=True)
    return letters


def _named(waiting: list[DeadLetter], offsets: tuple[int, ...], every: bool) -> list[DeadLetter]:
    if bool(offsets) == every:
        raise ConfigError("name the offsets of dead letters, or give --all", fix="`dead-letters list` shows them.")
    by_offset = {one.offset: one for one in waiting}
    unknown = [str(offset) for offset in offsets if offset not in by_offset]
    if unknown:
        raise ConfigError(f"no dead letter waits at {', '.join(unknown)}", fix="`dead-letters list` shows them.")
    return waiting if every else [by_offset[offset] for offset in dict.fromkeys(offsets)]


def _describe(settings: Settings) -> Callable[[DeadLetter], str]:
    from meepo2_cdc.cli.printing import printable
    from meepo2_cdc.errors import UnreadableData
    from meepo2_cdc.replay.build import decoder

    decode: Callable[[bytes], TableAction] = decoder(settings)

    def describe(letter: DeadLetter) -> str:
        try:
            record = decode(letter.message.value() or b"")
        except UnreadableData:
            return "no record"
        return f"{printable(record.qualified_table)} {record.action} {', '.join(map(repr, record.pk))}"

    return describe


def _facts(letter: DeadLetter, describe: Callable[[DeadLetter], str]) -> dict[str, object]:
    return {"offset": letter.offset, "record": describe(letter), "headers": dict(letter.headers)}
