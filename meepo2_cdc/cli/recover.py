"""
`meepo2-cdc recover`: settles what crashes of applications that deliver directly left in doubt.
"""

from __future__ import annotations

import json
import threading

import click

from meepo2_cdc.cli.options import log_options, settings_options
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.observe.foreground import in_foreground


@click.command(
    epilog="""\b
Example:
  MEEPO2_SESSION_DSN=postgresql+psycopg://app:secret@db1/shop MEEPO2_SESSION_REDIS_URL=redis://cache:6379/0 \\
    meepo2-cdc recover --prefix shop
"""
)
@settings_options("schema-registry-url")
@click.option("--create", is_flag=True, help="Make the table of markers if it is not there.")
@click.option("--list", "listed", is_flag=True, help="Only print what is in doubt, one JSON object a line.")
@click.option("--watch", is_flag=True, help="Go on, with a round every session.settle_seconds, until it is stopped.")
@log_options
def recover(settings: Settings, create: bool, listed: bool, watch: bool) -> None:
    """
    Publish transactions that were committed and not published, and forget those that were not committed.

    Applications that deliver directly do the same while they run; this is for those that do not.  Prints how many
    transactions there were of each outcome: committed, gone, open.
    """
    from meepo2_cdc.capture.session.building import database_of
    from meepo2_cdc.capture.session.doubts import Doubts, told
    from meepo2_cdc.capture.session.markers import Markers
    from meepo2_cdc.capture.session.recovery import Recovery, settled_for_ever
    from meepo2_cdc.capture.session.sending import KafkaEnd

    session = settings.session
    if session.redis_url is None:
        raise ConfigError("session.redis_url is not set", fix="Set MEEPO2_SESSION_REDIS_URL=redis://host:6379/0")
    doubts = Doubts(session.redis_url.get_secret_value(), session.namespace, max(1.0, session.timeout_seconds))
    if listed:
        for one in filter(None, map(doubts.get, doubts.ids())):
            click.echo(told(one))
        return
    markers = Markers(database_of(settings), session.marker_table)
    if create:
        click.echo(f"{session.marker_table} {'was made' if markers.create() else 'is there already'}", err=True)
    markers.prepare()
    recovery = Recovery(settings, doubts, markers, KafkaEnd(settings).deliver)
    if not watch:
        click.echo(json.dumps(recovery.settle()))
        return
    stopping = threading.Event()
    in_foreground(lambda: settled_for_ever(recovery, session.settle_seconds, stopping.wait), stopping.set)
