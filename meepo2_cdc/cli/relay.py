"""
`meepo2-cdc relay`: from the outbox of SQLAlchemy sessions to Kafka.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.config import Settings
from meepo2_cdc.observe import logs, traces
from meepo2_cdc.observe.foreground import in_foreground

if TYPE_CHECKING:
    from meepo2_cdc.capture.session.relay import Relay
    from meepo2_cdc.observe.content import Subject


@click.command(
    epilog="""\b
Example:
  MEEPO2_SESSION_DSN=postgresql+psycopg://app:secret@db1/shop \\
    meepo2-cdc relay --prefix shop --create
"""
)
@settings_options("schema-registry-url")
@click.option("--create", is_flag=True, help="Make the outbox table if it is not there.")
@click.option(
    "--standby",
    is_flag=True,
    help="Run several with this: one relays, the others wait to take over when it ends or dies.",
)
@click.option("--once", is_flag=True, help="Stop when the outbox is empty.")
@click.option(
    "--without-checkpoint",
    is_flag=True,
    help="Go on although the checkpoint is lost; the last batch may be published twice.",
)
@log_options
def relay(settings: Settings, create: bool, standby: bool, once: bool, without_checkpoint: bool) -> None:
    """
    Move the records of SQLAlchemy sessions from their outbox table to Kafka, each exactly once.

    Rows are removed behind their Kafka transaction.  SIGTERM and SIGINT end it cleanly, behind the batch at hand.
    """
    from functools import partial

    from meepo2_cdc.capture.session.relay import relay as relay_of

    if create:
        _create(settings)
    names, service = relay_of(settings, once=once, without_checkpoint=without_checkpoint)
    run = service.run
    if standby:
        from meepo2_cdc.capture.build import run_with_lock

        run = partial(run_with_lock, names, service)
    traces.set_up("meepo2-cdc-relay")
    logs.identify(service="relay", prefix=settings.prefix, source=settings.session.name)
    in_foreground(run, service.stop, settings.session, lambda: _subject(settings, service))


def _subject(settings: Settings, service: Relay) -> Subject:
    from meepo2_cdc.capture.session.watching import RelaySubject

    return RelaySubject(settings, service.progress)


def _create(settings: Settings) -> None:
    from meepo2_cdc.capture.session.building import database_of
    from meepo2_cdc.capture.session.outbox_rows import OutboxRows

    session = settings.session
    outbox = OutboxRows(database_of(settings), session.outbox_table, session.reconnect_seconds)
    made = outbox.create()
    click.echo(f"{session.outbox_table} {'was made' if made else 'is there already'}", err=True)
    outbox.close()
