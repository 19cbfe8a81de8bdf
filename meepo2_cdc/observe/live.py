"""
What makes the page move: samples are taken all the time, pieces of HTML are made only while somebody looks.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import structlog

from meepo2_cdc.observe import page
from meepo2_cdc.observe.content import Subject
from meepo2_cdc.observe.history import EVERY_SECONDS, History

log = structlog.get_logger()

BUSY = "So many look at this page already that no further one is served; reload it later."
_WATCHERS = 16
_SILENCE_SECONDS = 15.0
"""A proxy closes what says nothing for longer."""


class Live:
    """Has a thread of its own from `start` to `close`."""

    def __init__(self, subject: Subject, clock: Callable[[], float] = time.monotonic) -> None:
        self._subject = subject
        self._clock = clock
        self._history = History()
        self._changed = threading.Condition()
        self._watchers = 0
        self._pieces: dict[str, str] = {}
        self._turn = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)

    def start(self) -> None:
        self._subject.start()
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._subject.close()

    def page(self) -> str:
        return page.whole(self._subject, self._made())

    def facts(self) -> dict[str, Any]:
        health = self._subject.health()
        return {
            "title": self._subject.title,
            "health": asdict(health) | {"ready": health.ready},
            "content": asdict(self._subject.content()),
            "sample": dict(self._subject.sample()),
        }

    def _made(self) -> dict[str, str]:
        now = self._clock()
        curves = [
            (one, (self._history.rates if one.unit == "per second" else self._history.levels)(one.key, now))
            for one in self._subject.curves
        ]
        return page.pieces_of(self._subject.health(), self._subject.content(), curves, self._history.span(now))

    def _run(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            try:
                self._history.add(self._clock(), self._subject.sample())
                if self._watchers:
                    self._publish(self._made())
            except Exception:
                log.exception("The status page could not be made")

    def _publish(self, pieces: dict[str, str]) -> None:
        with self._changed:
            self._pieces, self._turn = pieces, self._turn + 1
            self._changed.notify_all()

    def subscribe(self) -> Iterator[bytes] | None:
        """Server-sent events (WHATWG HTML 9.2), each with the pieces that changed; None when too many listen."""
        return None if self._watchers >= _WATCHERS else self._events()

    def _after(self, turn: int) -> tuple[dict[str, str], int]:
        """The next pieces; the same ones after some seconds without any."""
        with self._changed:
            self._changed.wait_for(lambda: self._turn != turn or self._closing.is_set(), _SILENCE_SECONDS)
            return self._pieces, self._turn

    def _events(self) -> Iterator[bytes]:
        seen: dict[str, str] = {}
        turn = self._turn
        with self._changed:
            self._watchers += 1
        try:
            yield b"retry: 3000\n\n"
            while not self._closing.is_set():
                pieces, turn, known = *self._after(turn), turn
                if turn == known:
                    yield b": nothing new\n\n"
                    continue
                new = {name: html for name, html in pieces.items() if seen.get(name) != html}
                gone = [name for name in seen if name not in pieces]
                seen = pieces
                yield b"data: " + json.dumps({"pieces": new, "gone": gone, "order": list(pieces)}).encode() + b"\n\n"
        finally:
            with self._changed:
                self._watchers -= 1
