"""
Faults at random moments, of all kinds, under load; a supervisor that starts the capture again whenever it ends.

One seed decides what happens and for how long; when it hits depends on the machine.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

from meepo2_cdc.records.position import gtid_set
from tests.command import Outcome, Running, until
from tests.faults.owned import Owned, OwnedKafka
from tests.faults.trial import SPLIT
from tests.proxy import BOTH_WAYS, DOWN, UP, Proxy
from tests.scenes import STARTED, Scene

LONGEST_SECONDS = 2.0
CATCH_UP_SECONDS = 60.0
"""Behind the last fault; the longest wait of the capture itself is that of a pause in reconnecting."""
RESTARTABLE = (1, 4)
"""Exit codes after which a supervisor starts a capture again, and no person is needed."""
A_BUG = "This is a fault of the program"
_SETTINGS = {
    **SPLIT,
    "MEEPO2_SOURCE_HEARTBEAT_SECONDS": "0.5",
    "MEEPO2_DEBUG": "1",
    "PYTHONFAULTHANDLER": "1",  # SIGABRT makes it tell what each thread does
}
_TICK_SECONDS = 0.05


def may_be_started_again(outcome: Outcome) -> bool:
    return outcome.code in RESTARTABLE and A_BUG not in outcome.complaint


class Storm:
    """
    Call `rage`, then, without load, `calm`; `faults` counts what happened.

    `caught_up_seconds`: how long behind the last fault everything was published.
    """

    def __init__(self, scene: Scene, owned: Owned, source_link: Proxy, own_kafka: OwnedKafka, seed: int) -> None:
        self._scene, self._owned = scene, owned
        self._source_link, self._kafka = source_link, own_kafka
        self._dice = random.Random(seed)  # noqa: S311 - moments, not secrets
        self._began = time.monotonic()
        self._capture = self._launch()
        self.faults: Counter[str] = Counter()
        self.starts = 1
        self.caught_up_seconds = 0.0

    def rage(self, seconds: float) -> None:
        """Each kind once, in an order of the dice, before any comes again."""
        kinds = self._kinds()
        to_come: list[str] = []
        while time.monotonic() - self._began < seconds:
            self._pass(self._dice.uniform(0, 1))
            to_come = to_come or self._dice.sample(list(kinds), len(kinds))
            name = to_come.pop()
            self.faults[name] += 1
            self._say(name)
            kinds[name]()

    def calm(self) -> None:
        """Whatever happened last, the capture must go on by itself, publish everything, and end in order."""
        began = time.monotonic()
        self._scene.run("INSERT INTO word VALUES ('behind the storm', 1)")
        end = self._scene.server.executed()
        self._without_a_stall(lambda: self._has_published(end), "all is published")
        self.caught_up_seconds = time.monotonic() - began
        self._say(f"caught up in {self.caught_up_seconds:.1f} s")
        self._without_a_stall(self._ends_in_order, "a capture ends in order")

    def _has_published(self, end: str) -> bool:
        self._tend()
        checkpoint = self._scene.checkpoint()
        flavor = self._scene.server.flavor
        done = None if checkpoint is None else checkpoint.gtid_set
        return done is not None and gtid_set(flavor, end).is_within(gtid_set(flavor, done))

    def _ends_in_order(self) -> bool:
        self._tend()
        if STARTED not in self._capture.said:
            return False
        outcome = self._capture.stop()
        assert outcome.code == 0 or may_be_started_again(outcome), self._capture.said
        self._say(f"  exit {outcome.code}: {outcome.complaint}")
        return outcome.code == 0

    def _without_a_stall(self, done: Callable[[], bool], what: str) -> None:
        try:
            until(done, what, CATCH_UP_SECONDS)
        except AssertionError as error:
            if self._capture.runs:
                self._capture.stop(signal.SIGABRT)
            raise AssertionError(f"{error}; start {self.starts} said:\n{self._capture.said}") from error

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:8.2f} s  {what}")

    # -- the capture, and its supervisor

    def _launch(self) -> Running:
        return self._scene.launch(**_SETTINGS)

    def _tend(self) -> None:
        if not self._capture.runs:
            outcome = self._capture.end()
            assert may_be_started_again(outcome), f"exit {outcome.code}:\n{self._capture.said}"
            running = "running" if STARTED in outcome.err else "starting"
            self._say(f"  {running}, exit {outcome.code}: {outcome.complaint.partition(chr(10))[0]}")
            self._start_again()

    def _start_again(self) -> None:
        self._capture = self._launch()
        self.starts += 1

    def _pass(self, seconds: float) -> None:
        """Time goes by; a capture that ends is started again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._tend()
            time.sleep(_TICK_SECONDS)

    def _while(self) -> float:
        return self._dice.uniform(0.1, LONGEST_SECONDS)

    # -- what happens

    def _kinds(self) -> dict[str, Callable[[], None]]:
        source, kafka, dice = self._source_link, self._kafka.proxy, self._dice
        silence = (BOTH_WAYS, frozenset((UP,)), frozenset((DOWN,)))
        kinds: dict[str, Callable[[], None]] = {
            "capture killed": self._kill,
            "capture stopped": self._stop,
            "capture started twice": self._double,
            "capture frozen behind a successor": self._zombie,
            "source's dump killed": self._kill_dump,
            "source's log rotated": lambda: self._scene.server.run("FLUSH BINARY LOGS"),
            "source restarted": lambda: self._restart(self._owned.process.stop, self._owned.process.start),
            "source killed": lambda: self._restart(self._owned.process.kill, self._owned.process.start),
            "source frozen": self._freeze_source,
            "Kafka restarted": lambda: self._restart(self._kafka.process.stop, self._kafka.process.start),
            "Kafka killed": lambda: self._restart(self._kafka.process.kill, self._kafka.process.start),
        }
        for name, link in (("source", source), ("Kafka", kafka)):
            kinds |= {
                f"{name}'s link cut": link.cut,
                f"{name}'s link refused": lambda link=link: self._within(link.refusing()),
                f"{name}'s link delayed": lambda link=link: self._weather(link, delay_seconds=dice.uniform(0, 0.3)),
                f"{name}'s link throttled": lambda link=link: self._weather(link, bytes_per_second=100_000),
                f"{name}'s link sliced": lambda link=link: self._weather(link, piece_bytes=dice.choice((1, 7, 100))),
                f"{name}'s link silent": lambda link=link: self._silence(link, dice.choice(silence)),
            }
        return kinds

    def _kill(self) -> None:
        self._capture.kill()
        self._start_again()

    def _stop(self) -> None:
        self._capture.send(signal.SIGTERM)
        code = self._capture.end(90).code
        assert code in (0, -signal.SIGTERM, *RESTARTABLE), self._capture.said
        self._start_again()

    def _double(self) -> None:
        self._outlived_by(self._capture, self._launch())

    def _zombie(self) -> None:
        first, second = self._capture, self._launch()
        first.send(signal.SIGSTOP)
        end = time.monotonic() + self._while() + 1
        while second.runs and time.monotonic() < end:
            time.sleep(_TICK_SECONDS)
        first.send(signal.SIGCONT)
        self._outlived_by(first, second)

    def _outlived_by(self, *two: Running) -> None:
        """Whichever of the two is left is the one that is looked after."""
        until(lambda: not all(one.runs for one in two), "one of two captures ends")
        ended, left = sorted(two, key=lambda one: one.runs)
        assert may_be_started_again(ended.end()), ended.said
        self._capture = left
        self.starts += 1

    def _kill_dump(self) -> None:
        for number in self._scene.server.dumps_of("root"):
            self._scene.server.run(f"KILL {number}")

    def _restart(self, end: Callable[[], None], start: Callable[[], None]) -> None:
        end()
        self._pass(self._dice.uniform(0, 1))
        start()

    def _freeze_source(self) -> None:
        os.kill(self._owned.process.pid, signal.SIGSTOP)
        try:
            self._pass(self._while() * 2)
        finally:
            os.kill(self._owned.process.pid, signal.SIGCONT)

    def _within(self, harm: AbstractContextManager[None]) -> None:
        with harm:
            self._pass(self._while())

    def _weather(self, link: Proxy, **changes: object) -> None:
        self._within(link.having(**changes))

    def _silence(self, link: Proxy, ways: frozenset[str]) -> None:
        with link.having(stalled=ways):
            self._pass(self._while() * 2)
            link.cut()
