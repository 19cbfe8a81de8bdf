"""
`meepo2-cdc capture`: the capture service in the foreground.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.config import Settings
from meepo2_cdc.observe import logs, traces
from meepo2_cdc.observe.foreground import in_foreground

if TYPE_CHECKING:
    from meepo2_cdc.capture.service import CaptureService
    from meepo2_cdc.observe.content import Subject


@click.command(
    epilog="""\b
Example:
  MEEPO2_SOURCE_DSN=mysql://cdc:secret@db1:3306/ \\
    meepo2-cdc capture --prefix shop --tables 'shop.*,!shop.tmp_*' --start earliest
  meepo2-cdc capture --prefix shop --from-files /archive/mysql-bin.0000*
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
@click.option(
    "--from-files",
    is_flag=True,
    help="Read FILES, a server's log files on this machine (also .gz, .zst), up to their end; no server is needed when"
    " they were written with binlog_row_metadata = FULL.",
)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@log_options
def capture(
    settings: Settings,
    standby: bool,
    once: bool,
    explain_layout: str | None,
    from_files: bool,
    files: tuple[Path, ...],
) -> None:
    """
    Read the server's log and write a record for each changed row to Kafka.

    Goes on where its last checkpoint is; --start says where to begin when there is none.  SIGTERM and SIGINT end it
    cleanly: what was read is committed, with the checkpoint.

    With --from-files it goes on in archived files where the checkpoint is, and a capture of the server goes on behind
    them.  For an audit beside a capture, use another --prefix.
    """
    if from_files != bool(files):
        raise click.UsageError("--from-files and the names of files go together")
    if from_files and (standby or explain_layout is not None):
        raise click.UsageError("--from-files goes with neither --standby nor --explain-layout")
    if explain_layout is not None:
        from meepo2_cdc.capture.explain import explained

        for text in explained(settings, explain_layout):
            click.echo(text)
        return

    from meepo2_cdc.capture.build import capture_service, run_with_lock

    service = capture_service(settings, once=once and not files, files=files)
    run = partial(run_with_lock, settings, service) if standby else service.run
    traces.set_up("meepo2-cdc-capture")
    logs.identify(service="capture", prefix=settings.prefix, source=settings.source.name)
    in_foreground(run, service.stop, settings.capture, lambda: _subject(settings, service))


def _subject(settings: Settings, service: CaptureService) -> Subject:
    from meepo2_cdc.capture.watching import CaptureSubject

    return CaptureSubject(settings, service.progress)
