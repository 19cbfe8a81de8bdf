"""
`meepo2-cdc capture`: the capture service in the foreground.
"""

from __future__ import annotations

from functools import partial

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.config import Settings
from meepo2_cdc.observe.foreground import in_foreground


@click.command(
    epilog="""\b
Example:
  MEEPO2_SOURCE_DSN=mysql://cdc:secret@db1:3306/ \\
    meepo2-cdc capture --prefix shop --tables 'shop.*,!shop.tmp_*' --start earliest
"""
)
@settings_options("schema-registry-url", "tables", "source-name", "source-dsn", "server-id", "start")
@click.option(
    "--standby",
    is_flag=True,
    help="Run several with this: one captures, the others wait to take over when it ends or dies.",
)
@click.option("--once", is_flag=True, help="Stop at what is the end of the log now.")
@click.option(
    "--explain-layout",
    metavar="SCHEMA.TABLE",
    help="Only print the functions that are generated to read the table's rows, from --start on or from the oldest.",
)
@log_options
def capture(settings: Settings, standby: bool, once: bool, explain_layout: str | None) -> None:
    """
    Read the server's log and write a record for each changed row to Kafka.

    Goes on where its last checkpoint is; --start says where to begin when there is none.  SIGTERM and SIGINT end it
    cleanly: what was read is committed, with the checkpoint.
    """
    if explain_layout is not None:
        from meepo2_cdc.capture.explain import explained

        for text in explained(settings, explain_layout):
            click.echo(text)
        return

    from meepo2_cdc.capture.build import capture_service, run_with_lock

    service = capture_service(settings, once=once)
    run = partial(run_with_lock, settings, service) if standby else service.run
    in_foreground(run, service.stop, settings.capture.metrics_port, "capture.metrics_port")
