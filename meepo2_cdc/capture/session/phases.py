"""
Signals of a publisher's transactions: prepared, committed, rolled back.

Each publisher has signals of its own, so a receiver hears of the sessions it was connected for and of no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import structlog

from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.records.telling import plain_key

if TYPE_CHECKING:
    from blinker import Signal

log = structlog.get_logger()
NAMES = ("session_prepare", "session_commit", "session_rollback")
Event = dict[str, set[Any]]
"""Keys of changed rows by `table_action`."""


def event_of(changes: Iterable[Change]) -> Event:
    found: Event = {}
    for one in changes:
        found.setdefault(f"{one.table}_{one.action.value}", set()).add(plain_key(one.pk))
    return found


class Phases:
    """
    blinker signals; receivers get the session as sender and `event`, all changes of the transaction so far.

    A receiver that raises is logged with its traceback; the transaction and the other receivers go on.
    """

    def __init__(self) -> None:
        self._connected = False

    @cached_property
    def _signals(self) -> dict[str, Signal]:
        try:
            from blinker import Signal
        except ModuleNotFoundError as error:
            hint = "signals need the package blinker: pip install 'meepo2-cdc[signals]'"
            raise ModuleNotFoundError(hint, name="blinker") from error
        self._connected = True
        return {name: Signal() for name in NAMES}

    def signal(self, name: str) -> Signal:
        if name not in NAMES:
            raise ValueError(f"there is no signal {name!r}; there are {', '.join(NAMES)}")
        return self._signals[name]

    def send(self, name: str, session: Any, changes: Iterable[Change]) -> None:
        if not self._connected or not self._signals[name].receivers:
            return
        event = event_of(changes)
        for receiver in list(self._signals[name].receivers_for(session)):
            try:
                receiver(session, event=event)
            except Exception:  # a receiver is somebody else's code; the transaction is decided
                log.exception("A receiver failed", signal=name, receiver=getattr(receiver, "__qualname__", "?"))


def count_in_statsd(publisher: Any, client: Any, prefix: str = "meepo2.stats") -> None:
    """Counts the three phases of the publisher's transactions as `<prefix>.session_commit` and so on."""
    for name in NAMES:

        def count(_: Any, event: Event, name: str = name) -> None:
            client.incr(f"{prefix}.{name}")

        publisher.signal(name).connect(count, weak=False)
