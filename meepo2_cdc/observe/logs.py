"""
Logs: one line an event on stderr, a past-tense sentence with its facts as fields; for people, or as JSON.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Literal

import stamina
import stamina.instrumentation
import structlog

Format = Literal["text", "json"]


class _Stderr:
    """
    Where lines go, or nowhere: a full disk or a log collector that is gone must not end a capture.

    Unbuffered, or a line that could not be written would be tried again at the end, and change the exit code.
    """

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None: ...


def set_up(level: str = "INFO", form: Format = "text") -> None:
    """Everything from `level` on goes to stderr; stdout is for data."""
    render: structlog.typing.Processor
    if form == "json":
        render = structlog.processors.JSONRenderer()
    else:
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    stamina.instrumentation.set_on_retry_hooks([])  # what is retried, and why, is logged by whoever retries
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]  # of a file it needs no more
        cache_logger_on_first_use=True,
    )
