"""
What happens at an event that cannot be read: the capture stops, or the event is counted and named.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

import structlog

from meepo2_cdc.capture.binlog.stream import Event
from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.observe import metrics

log = structlog.get_logger()

SKIP_FIX = "To pass over such events, counted and named in the log: [capture] on_unreadable = skip"


class Unreadable:
    """The policy.  `place` says where the reader is, for people."""

    def __init__(self, place: Callable[[], str], *, skip: bool) -> None:
        self._place = place
        self._skip = skip

    def note(self, event: Event, error: UnreadableData) -> None:
        """Raises UnreadableData with the event's place; returns when the event is to be passed over."""
        if not self._skip:
            self.stop(event, error)
        metrics.EVENTS_UNREADABLE.labels(str(event.kind)).inc()
        log.error("An event was passed over", why=error.found, at=self._place(), written=_written(event))

    def stop(self, event: Event, error: UnreadableData) -> NoReturn:
        """Raises UnreadableData with the event's place, whatever the policy."""
        raise UnreadableData(
            f"{error.found}, at {self._place()}, written {_written(event)}", fix=error.fix or SKIP_FIX
        ) from error


def _written(event: Event) -> str:
    return datetime.fromtimestamp(event.timestamp, UTC).isoformat(timespec="seconds")
