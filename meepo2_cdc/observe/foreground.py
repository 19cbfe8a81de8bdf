"""
What services share that run until they are told to stop: signals and metrics.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from meepo2_cdc.errors import ConfigError


def in_foreground(
    run: Callable[[], None], stop: Callable[[], None], metrics_port: int | None = None, setting: str = ""
) -> None:
    """Runs until SIGTERM or SIGINT asks it to stop; a second signal ends what does not end by itself."""

    def stopping(number: int, _: object) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopping)
    if metrics_port is not None:
        _serve_metrics(metrics_port, setting)
    run()


def _serve_metrics(port: int, setting: str) -> None:
    from prometheus_client import start_http_server

    try:
        start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise ConfigError(f"{setting} is {port}, which cannot be listened on: {error.strerror}") from error
