"""
What services share that run until they are told to stop: signals, and the pages on which they are watched.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from meepo2_cdc.observe.content import Subject

_SECTIONS = {"capture": "capture", "relay": "session", "run": "run"}


class Served(Protocol):
    """The settings of a section that say where its service is watched."""

    @property
    def metrics_port(self) -> int | None: ...

    @property
    def metrics_host(self) -> str: ...

    @property
    def live_seconds(self) -> float: ...


def in_foreground(
    run: Callable[[], None],
    stop: Callable[[], None],
    served: Served | None = None,
    subject: Callable[[], Subject] | None = None,
) -> None:
    """
    Runs until SIGTERM or SIGINT asks it to stop; a second signal ends what does not end by itself.

    `subject` is made only where `served` has a port.
    """

    def stopping(number: int, _: object) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stopping)
    if served is None or served.metrics_port is None or subject is None:
        run()
    else:
        with _watched(served, served.metrics_port, subject()):
            run()


@contextmanager
def _watched(served: Served, port: int, subject: Subject) -> Iterator[None]:
    from meepo2_cdc.observe.server import PageServer, Place  # 0.1 s and 5 MB, of which most commands need nothing

    server = PageServer(subject, Place(served.metrics_host, port, _SECTIONS[subject.role]), served.live_seconds)
    server.start()
    try:
        yield
    finally:
        server.close()
