"""
`meepo2-cdc completion`: the script by which a shell completes commands, options and names.

Names of connectors and checks come from this installation; those of topics and tables from Kafka, if it answers soon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from meepo2_cdc.config import Settings

_SHELLS = ("bash", "zsh", "fish")
_ANSWER_SECONDS = 1.5
"""A shell that waits longer is worse than one that completes nothing."""


@click.command(
    epilog="""\b
Example:
  eval "$(meepo2-cdc completion bash)"                                     # in ~/.bashrc
  eval "$(meepo2-cdc completion zsh)"                                      # in ~/.zshrc
  meepo2-cdc completion fish > ~/.config/fish/completions/meepo2-cdc.fish
"""
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete this command."""
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    made = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    root = click.get_current_context().find_root().command
    click.echo(made(root, {}, "meepo2-cdc", "_MEEPO2_CDC_COMPLETE").source())


def connectors(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """None of them is imported for it."""
    from importlib.metadata import entry_points

    from click.shell_completion import CompletionItem

    from meepo2_cdc.config import CONNECTORS

    names = sorted(one.name for one in entry_points(group=CONNECTORS))
    return [CompletionItem(name) for name in names if name.startswith(begun.replace("-", "_"))]


def topics(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return _from_kafka(context, begun, lambda topic, settings: topic)


def tables(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return _from_kafka(context, begun, lambda topic, settings: topic.removeprefix(f"{settings.prefix}."))


def _from_kafka(context: click.Context, begun: str, named: Callable[[str, Settings], str]) -> list[CompletionItem]:
    """Nothing where Kafka or the settings are not to be had: a complaint would stand in the middle of the line."""
    from click.shell_completion import CompletionItem
    from confluent_kafka import KafkaException

    from meepo2_cdc.cli.options import settings_of
    from meepo2_cdc.errors import Error
    from meepo2_cdc.kafka.clients import connect
    from meepo2_cdc.kafka.topics import TopicNames

    try:
        settings = settings_of(context.params)
        names = TopicNames(settings.prefix, settings.topics.template)
        there = connect(settings.kafka, _ANSWER_SECONDS).list_topics(timeout=_ANSWER_SECONDS).topics
    except (Error, KafkaException):
        return []
    found = (named(topic, settings) for topic in sorted(there) if names.is_data_topic(topic))
    return [CompletionItem(name) for name in found if name.startswith(begun)]
