"""
Logs: one line an event on stderr, a past-tense sentence with its facts as fields; for people, or as JSON.

Whatever libraries log comes the same way.  Secrets are taken out of every line, and the last warnings are kept for the
status page.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Literal

import stamina
import stamina.instrumentation
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from meepo2_cdc.observe import traces
from meepo2_cdc.observe.recent import RECENT, Line
from meepo2_cdc.observe.redaction import redacted

Format = Literal["text", "json"]
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
"""A table may be named so that it ends the line and begins one of its own."""
_TROUBLE = ("warning", "error", "critical")
_identity: dict[str, object] = {}


class _Stderr:
    """
    Where lines go, or nowhere: a full disk or a log collector that is gone must not end a capture.

    Unbuffered, or a line that could not be written would be tried again at the end, and change the exit code.
    """

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None: ...


class _Forwarded(logging.Handler):
    """What libraries log by the standard module, as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            max(record.levelno, logging.WARNING), record.getMessage(), logger=record.name, exc_info=record.exc_info
        )


def set_up(level: str = "INFO", form: Format = "text") -> None:
    """Everything from `level` on goes to stderr; stdout is for data."""
    render: list[Processor] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)]
    if form == "json":
        render = [_identified, structlog.processors.JSONRenderer()]
    stamina.instrumentation.set_on_retry_hooks([])  # what is retried, and why, is logged by whoever retries
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _cleaned,
            _remembered,
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]  # of a file it needs no more
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forwarded()], level=logging.WARNING, force=True)
    logging.captureWarnings(True)


def identify(**facts: object) -> None:
    """What tells this process's lines from others': fields of every line of JSON from now on."""
    _identity.update(facts, instance=f"{socket.gethostname()}:{os.getpid()}")


def _identified(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {**_identity, **traces.current_ids(), **event}


def _cleaned(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: _shown(value, lines=name == "exception") for name, value in event.items()}


def _shown(value: Any, *, lines: bool = False) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_shown(str(name)): _shown(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(one) for one in value]
    text = redacted(str(value))
    return text if lines else text.translate(_CONTROL)


def _remembered(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if event.get("level") in _TROUBLE:
        facts = {name: one for name, one in event.items() if name not in ("event", "level", "timestamp", "exception")}
        if exception := str(event.get("exception", "")).rstrip():
            facts["error"] = exception.splitlines()[-1]
        shown = ", ".join(f"{name}={one}" for name, one in facts.items())
        RECENT.add(Line(str(event.get("timestamp", "")), str(event["level"]), str(event["event"]), shown))
    return event
