"""
`meepo2-cdc checkpoint`: where a capture goes on.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

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
    """Show where a capture goes on."""


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

    found = asdict(last_checkpoint(settings))
    print_lines([as_json(found)] if in_json else fields(found))


def last_checkpoint(settings: Settings) -> Checkpoint:
    """Raises ConfigError where there is none, naming the sources that have one."""
    from meepo2_cdc.kafka.checkpoints import read_checkpoint
    from meepo2_cdc.kafka.clients import connect, quiet
    from meepo2_cdc.kafka.topics import TopicNames, partition_counts

    names = TopicNames(settings.prefix, settings.topics.template)
    topic = names.checkpoint_topic(settings.source.name)
    there = partition_counts(connect(settings.kafka))
    found = read_checkpoint(quiet(settings.kafka), topic, settings.source.name) if topic in there else None
    if found is None:
        of_all = names.checkpoint_topic("")
        sources = sorted(name.removeprefix(of_all) for name in there if name.startswith(of_all))
        raise ConfigError(
            f"no capture of the source {settings.source.name!r} has written a checkpoint under the prefix "
            f"{settings.prefix!r}",
            fix=f"Sources that have one: {', '.join(sources) or 'none'}.  See --source-name and --prefix.",
        )
    return found
