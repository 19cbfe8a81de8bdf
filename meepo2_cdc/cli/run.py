"""
`meepo2-cdc run CONNECTOR`: a consumer application in the foreground.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.observe import logs, traces
from meepo2_cdc.observe.foreground import in_foreground

if TYPE_CHECKING:
    from meepo2_cdc.observe.content import Subject
    from meepo2_cdc.replay.connectors import Chosen
    from meepo2_cdc.replay.runner import Runner


@click.command(
    epilog="""\b
Example:
  MEEPO2_REDIS_REPLICATOR_URL=redis://cache:6379/0 \\
    meepo2-cdc run redis_replicator --prefix shop --tables 'shop.*'
"""
)
@settings_options("schema-registry-url", "tables", connector="required")
@log_options
def run(chosen: Chosen) -> None:
    """
    Apply the records of the data topics with CONNECTOR, as a member of its consumer group.

    Goes on where the group is; processes that run the same connector share the partitions.  SIGTERM and SIGINT end it
    cleanly: what was read is applied and its offsets are committed.
    """
    from meepo2_cdc.replay.build import connector_runner

    runner = connector_runner(chosen)
    traces.set_up("meepo2-cdc-run")
    logs.identify(service="run", prefix=chosen.settings.prefix, connector=chosen.name, group=chosen.group)
    in_foreground(runner.run, runner.stop, chosen.settings.run, lambda: _subject(chosen, runner))


def _subject(chosen: Chosen, runner: Runner) -> Subject:
    from meepo2_cdc.replay.watching import RunSubject

    return RunSubject(chosen.settings, chosen.name, runner)
