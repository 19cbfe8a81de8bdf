"""
`meepo2-cdc checkpoint`: where a capture goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from meepo2_cdc.cli.options import settings_options
from meepo2_cdc.errors import ConfigError

if TYPE_CHECKING:
    from meepo2_cdc.config import Settings
    from meepo2_cdc.records.checkpoint import Checkpoint


@click.group(
    epilog="""\b
Example:
  meepo2-cdc checkpoint show --source-name db --json
"""
)
def checkpoint() -> None:
    """Show and move where a capture goes on."""


@checkpoint.command(
    epilog="""\b
Example:
  meepo2-cdc checkpoint show --source-name db
"""
)
@settings_options("source-name")
@click.option("--json", "in_json", is_flag=True, help="One JSON object.")
def show(settings: Settings, in_json: bool) -> None:
    """Print the last committed checkpoint of a source."""
    from meepo2_cdc.cli.printing import as_json, fields, print_lines

    found = last_checkpoint(settings)
    print_lines([as_json(found.fields())] if in_json else fields(for_people(found)))


@checkpoint.command(
    "set",
    epilog="""\b
Example:
  meepo2-cdc checkpoint set binlog.000042:157 --source-name db --dry-run
""",
)
@settings_options("source-name", "source-dsn", "server-id", "tables")
@click.argument("position")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def set_(settings: Settings, position: str, dry_run: bool) -> None:
    """
    Let the capture go on at POSITION: earliest, latest, FILE:POSITION, a GTID set, or an ISO time.

    A capture that runs is fenced (it ends with exit code 4) and goes on from there when it is started again.  What
    lies between is published again, or left out.
    """
    _move(settings, position, only_back=False, dry_run=dry_run)


@checkpoint.command(
    epilog="""\b
Example:
  meepo2-cdc checkpoint rewind --to-timestamp 2026-01-31T12:00:00Z --dry-run
"""
)
@settings_options("source-name", "source-dsn", "server-id", "tables")
@click.option("--to-timestamp", metavar="ISO", help="To the first transaction committed at this time or later.")
@click.option("--to-gtid", metavar="SET", help="To what follows these transactions.")
@click.option("--to-file-pos", metavar="FILE:POSITION", help="To the transaction that begins there, or the next.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def rewind(
    settings: Settings, to_timestamp: str | None, to_gtid: str | None, to_file_pos: str | None, dry_run: bool
) -> None:
    """
    Publish again what the source committed since a position that is still in its log.

    A capture that runs is fenced (it ends with exit code 4) and goes on from there when it is started again.
    """
    targets = [target for target in (to_timestamp, to_gtid, to_file_pos) if target is not None]
    if len(targets) != 1:
        raise ConfigError("rewind needs one of --to-timestamp, --to-gtid and --to-file-pos")
    _move(settings, targets[0], only_back=True, dry_run=dry_run)


def _move(settings: Settings, target: str, *, only_back: bool, dry_run: bool) -> None:
    from meepo2_cdc.capture.reposition import move
    from meepo2_cdc.observe import logs

    logs.set_up("WARNING")
    moved = move(settings, target, only_back=only_back, dry_run=dry_run)
    if moved.before is not None:
        click.echo(f"from  {moved.before.file}:{moved.before.position}  {moved.before.gtid_set or ''}")
    click.echo(f"to    {moved.after.file}:{moved.after.position}  {moved.after.gtid_set or ''}")
    click.echo("nothing was done (--dry-run)" if dry_run else "done; the capture goes on there when it is started")


def for_people(found: Checkpoint) -> dict[str, Any]:
    """The checkpoint's fields, each snapshot in one line."""
    from meepo2_cdc.cli.following import told

    return found.fields() | {"snapshots": tuple(f"{one.id}: {told(one, None)}" for one in found.snapshots)}


def last_checkpoint(settings: Settings) -> Checkpoint:
    """Raises ConfigError where there is none, naming the sources that have one."""
    from meepo2_cdc.kafka.checkpoints import read_checkpoint
    from meepo2_cdc.kafka.clients import connect
    from meepo2_cdc.kafka.topics import TopicNames, partition_counts

    names = TopicNames(settings.prefix, settings.topics.template)
    topic = names.checkpoint_topic(settings.source.name)
    there = partition_counts(connect(settings.kafka))
    found = read_checkpoint(settings.kafka, topic, settings.source.name) if topic in there else None
    if found is None:
        of_all = names.checkpoint_topic("")
        sources = sorted(name.removeprefix(of_all) for name in there if name.startswith(of_all))
        raise ConfigError(
            f"no capture of the source {settings.source.name!r} has written a checkpoint under the prefix "
            f"{settings.prefix!r}",
            fix=f"Sources that have one: {', '.join(sources) or 'none'}.  See --source-name and --prefix.",
        )
    return found
