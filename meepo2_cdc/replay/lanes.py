"""
Workers: each a thread with keys of its own, so that the records of one key are applied in their order.

A key that fails is parked with what follows for it, and tried again when it is due; other keys go on.  Knows nothing
of Kafka's groups and offsets: what is done is reported, and somebody else commits.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from meepo2_cdc.kafka.message import Message
from meepo2_cdc.observe import metrics, traces
from meepo2_cdc.records import KeyPart, TableAction
from meepo2_cdc.replay.progress import Delivery
from meepo2_cdc.replay.sink import Rejected, Sink, TryAgain

log = structlog.get_logger()

Key = tuple[str, str, tuple[KeyPart, ...]]
Report = SimpleQueue["list[Delivery] | BaseException"]
"""What lanes tell their runner: deliveries that are done, or why everything must end."""


class SetsAside(Protocol):
    """Where records go that the sink will not take."""

    def put(self, message: Message, why: str, error: BaseException, tries: int) -> None:
        """Durable when it returns."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and after what delays: doubled each time up to `longest_seconds`, the half of it at random."""

    tries: int = 10
    first_seconds: float = 0.1
    longest_seconds: float = 30.0
    chance: Callable[[], float] = random.random

    def delay(self, failures: int, least: float | None) -> float:
        """Seconds to wait after so many failures in a row."""
        grown = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return max(least or 0.0, grown * (0.5 + self.chance() / 2))


@dataclass(frozen=True, slots=True)
class Route:
    """Which records go to which sink, and how."""

    name: str
    sink: Sink
    wants: Callable[[TableAction], bool]
    """Asked once for each action and table, so it must not look at the key."""
    workers: int = 4
    batch_records: int = 500
    coalesce: bool = False


@dataclass(slots=True)
class _Parked:
    """A key that failed so many times in a row, and what waits for it, in its order."""

    deliveries: list[Delivery]
    failures: int
    due: float


@dataclass(slots=True)
class _Failed:
    """What one key could not be rid of, and why."""

    key: Key
    deliveries: list[Delivery]
    error: TryAgain


class _Ended(Exception):
    """The lane was asked to stop in the middle of a batch; what it holds comes again."""


class Lane(threading.Thread):
    """One worker of a route."""

    def __init__(self, route: Route, number: int, report: Report, retries: Retries, set_aside: SetsAside) -> None:
        super().__init__(name=f"{route.name}-{number}", daemon=True)
        self._route = route
        self._report = report
        self._retries = retries
        self._set_aside = set_aside
        self._inbox: SimpleQueue[list[Delivery] | None] = SimpleQueue()
        self._parked: dict[Key, _Parked] = {}
        self._ending = threading.Event()
        self._sent = 0
        self._handled = 0
        self._seconds = metrics.APPLY_SECONDS.labels(route.name)
        self._applied = metrics.RECORDS_APPLIED.labels(route.name)
        self._retried = metrics.RETRIES.labels(route.name)
        self._dead = metrics.DEAD_LETTERS.labels(route.name)
        self.waiting = False
        """Whether the target as a whole is away."""
        self.applying_since: float | None = None

    def send(self, deliveries: list[Delivery]) -> None:
        """Takes them over; `idle` is False until each was applied, parked or set aside."""
        self._sent += 1
        self._inbox.put(deliveries)

    @property
    def idle(self) -> bool:
        return self._sent == self._handled

    def end(self) -> None:
        """Asks it to stop: what is not applied by now is not reported, so it comes again."""
        self._ending.set()
        self._inbox.put(None)

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                taken = self._take()
                self._apply_due()
                self._apply_in_batches([one for deliveries in taken for one in deliveries], {})
                self._handled += len(taken)
        except _Ended:
            return
        except BaseException as error:  # noqa: BLE001 - the top of a thread: its runner raises it
            self._report.put(error)

    def _take(self) -> list[list[Delivery]]:
        """What was sent, joined up to a batch; waits for it, but no longer than until a parked key is due."""
        due = min((one.due for one in self._parked.values()), default=None)
        try:
            sent = self._inbox.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
        except Empty:
            return []
        taken = []
        size = 0
        while sent is not None:
            taken.append(sent)
            size += len(sent)
            if size >= self._route.batch_records or self._inbox.empty():
                break
            sent = self._inbox.get()
        return taken

    def _apply_due(self) -> None:
        """Parked keys whose time has come: together at first; each alone when that failed, so that one cannot spoil
        the others."""
        now = time.monotonic()
        due = {key: self._parked.pop(key) for key, one in list(self._parked.items()) if one.due <= now}
        together = [one for parked in due.values() if parked.failures <= 1 for one in parked.deliveries]
        failures = {key: parked.failures for key, parked in due.items()}
        self._apply_in_batches(together, failures)
        for parked in due.values():
            if parked.failures > 1:
                self._apply_in_batches(parked.deliveries, failures)

    def _apply_in_batches(self, deliveries: list[Delivery], failures: Mapping[Key, int]) -> None:
        most = self._route.batch_records
        for at in range(0, len(deliveries), most):
            batch = self._behind_parked(deliveries[at : at + most])
            failed = self._deliver(self._newest([one for one in batch if one[2].claim.held]))
            if failed:
                waiting = self._park(failed, failures)
                batch = [one for one in batch if id(one) not in waiting]
            self._report.put(batch)

    def _behind_parked(self, batch: list[Delivery]) -> list[Delivery]:
        """The batch without the records of parked keys, which wait behind what failed."""
        if not self._parked:
            return batch
        free = []
        for one in batch:
            parked = self._parked.get(_key(one))
            if parked is None:
                free.append(one)
            elif self._route.coalesce:
                self._report.put(parked.deliveries)
                parked.deliveries = [one]
            else:
                parked.deliveries.append(one)
        return free

    def _newest(self, batch: list[Delivery]) -> list[Delivery]:
        """Of each key the last record, where that stands for all; else the batch."""
        return list({_key(one): one for one in batch}.values()) if self._route.coalesce else batch

    def _deliver(self, batch: list[Delivery]) -> list[_Failed]:
        """Applied as often as it takes; what failed by itself is returned, the rest is durable or set aside."""
        attempts = 0
        while batch:
            try:
                self._apply([one[0] for one in batch])
                break
            except Rejected as error:
                batch = self._reject(batch, error)
            except TryAgain as error:
                if error.records:
                    return self._failed(batch, error)
                attempts += 1
                self._wait(error, attempts)
        self.waiting = False
        return []

    def _apply(self, batch: list[TableAction]) -> None:
        self.applying_since = start = time.monotonic()
        try:
            with traces.apply(self._route.name, batch):
                self._route.sink.apply(batch)
        finally:
            self.applying_since = None
        self._seconds.observe(time.monotonic() - start)
        self._applied.inc(len(batch))

    def _wait(self, error: TryAgain, attempts: int) -> None:
        """The target is away: all of this lane waits, since every key would fail."""
        delay = self._retries.delay(attempts, error.after_seconds)
        self.waiting = True
        self._retried.inc()
        log.warning(
            "The target was not ready", connector=self._route.name, why=error.why, attempt=attempts,
            again_in_seconds=round(delay, 1),
        )  # fmt: skip
        if self._ending.wait(delay):
            raise _Ended

    def _reject(self, batch: list[Delivery], error: Rejected) -> list[Delivery]:
        named = self._named(batch, error.records)
        for one in batch:
            if id(one[0]) in named:
                self._put_aside(one, error, tries=1)
        return [one for one in batch if id(one[0]) not in named]

    def _put_aside(self, one: Delivery, error: TryAgain | Rejected, tries: int) -> None:
        self._set_aside.put(one[1], error.why, error, tries)
        self._dead.inc()
        log.error("A record was set aside", connector=self._route.name, table=one[0].qualified_table, why=error.why,
                  tries=tries, topic=one[1].topic(), partition=one[1].partition(), offset=one[1].offset())  # fmt: skip

    def _failed(self, batch: list[Delivery], error: TryAgain) -> list[_Failed]:
        """Of each key everything from the first record on that failed: what follows it must not overtake it."""
        named = self._named(batch, error.records)
        by_key: dict[Key, _Failed] = {}
        for one in batch:
            key = _key(one)
            if key in by_key:
                by_key[key].deliveries.append(one)
            elif id(one[0]) in named:
                by_key[key] = _Failed(key, [one], error)
        return list(by_key.values())

    def _named(self, batch: list[Delivery], records: Sequence[TableAction]) -> set[int]:
        named = {id(record) for record in records}
        if not named <= {id(one[0]) for one in batch}:
            raise ValueError(f"the sink {self._route.name} named records that were not in its batch")
        return named

    def _park(self, failed: list[_Failed], failures: Mapping[Key, int]) -> set[int]:
        """Waits with what failed, or sets its first record aside after the last try; which deliveries wait."""
        now = time.monotonic()
        waiting: set[int] = set()
        for one in failed:
            count = failures.get(one.key, 0) + 1
            due = now + self._retries.delay(count, one.error.after_seconds)
            if count > self._retries.tries:
                self._put_aside(one.deliveries.pop(0), one.error, tries=count)
                count, due = 0, now
            self._retried.inc()
            if one.deliveries:
                self._parked[one.key] = _Parked(one.deliveries, count, due)
                waiting.update(map(id, one.deliveries))
        return waiting


def _key(one: Delivery) -> Key:
    record = one[0]
    return record.schema, record.table, record.pk
