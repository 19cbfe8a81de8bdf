"""
`meepo2-cdc capture`: the capture service in the foreground.
"""

from __future__ import annotations

import signal
from typing import Literal

import click

from meepo2_cdc.cli.options import settings_options
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError


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
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), default="INFO", show_default=True,
    envvar="MEEPO2_LOG_LEVEL",
)  # fmt: skip
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, envvar="MEEPO2_LOG_FORMAT"
)
def capture(settings: Settings, standby: bool, once: bool, log_level: str, log_format: Literal["text", "json"]) -> None:
    """
    Read the server's log and write a record for each changed row to Kafka.

    Goes on where its last checkpoint is; --start says where to begin when there is none.  SIGTERM and SIGINT end it
    cleanly: what was read is committed, with the checkpoint.
    """
    from meepo2_cdc.capture.build import capture_service, run_with_lock
    from meepo2_cdc.observe import logs

    logs.set_up(log_level, log_format)
    service = capture_service(settings, once=once)

    def stop(number: int, _: object) -> None:
        service.stop()
        signal.signal(number, signal.SIG_DFL)  # a second one ends what does not end by itself

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if settings.capture.metrics_port is not None:
        _serve_metrics(settings.capture.metrics_port)
    if standby:
        run_with_lock(settings, service)
    else:
        service.run()


def _serve_metrics(port: int) -> None:
    from prometheus_client import start_http_server

    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise ConfigError(f"capture.metrics_port is {port}, which cannot be listened on: {error.strerror}") from error
