"""
The loop of a consumer application: read, spread over lanes by key, and commit what is done.

    1. read a batch of messages           the feed: a consumer group, or ranges of offsets
    2. decode; what is no record is set aside
    3. hand each record to the lane of its key, in every route that wants it
    4. settle what the lanes report as done
    5. commit, for each partition, the least offset that is open

So a record is read again until it is durable in every sink, and never skipped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

import structlog

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.offsets import Partition
from meepo2_cdc.observe import metrics
from meepo2_cdc.observe.vitals import Vitals
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.replay.lanes import Lane, Report, Retries, Route, SetsAside
from meepo2_cdc.replay.progress import Claim, Delivery, Span
from meepo2_cdc.replay.sink import TryAgain

log = structlog.get_logger()

_READ_SECONDS = 0.1
_SETTLE_SECONDS = 0.1
_PATIENCE_SECONDS = 1.0
"""How long the lanes are waited for before the group is kept alive by polls."""


class Feed(Protocol):
    """Where messages come from; everything is called by the runner's thread."""

    def open(self, claims: Claims) -> None:
        """Begins; `claims` hears which partitions come and go, also from within `read`, `idle` and `close`."""

    def read(self, most: int, seconds: float) -> Sequence[Message]:
        """At least one message as soon as there is one, at most `most`, none after `seconds`."""

    def idle(self) -> None:
        """Called while nothing can be taken: stays a member of its group without reading on."""

    def ends(self) -> Sequence[tuple[Partition, int]]:
        """Partitions whose end was met since this was asked last, and the offset of that end."""

    def commit(self, positions: Mapping[Partition, int], *, wait: bool) -> None:
        """Makes the positions those at which the next start goes on."""

    @property
    def ended(self) -> bool:
        """Whether no message will come any more."""

    @property
    def standing(self) -> Literal["reading", "joining", "waiting"]:
        """Joining: no partitions were assigned yet; waiting: there is no topic yet.  Any thread may ask."""

    def close(self) -> None: ...


class Claims(Protocol):
    """Who hears which partitions a feed reads."""

    def assigned(self, partitions: Iterable[Partition]) -> None: ...

    def revoked(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """Finishes what is under way, as far as time allows, and returns the positions to commit."""

    def lost(self, partitions: Iterable[Partition]) -> None:
        """Somebody else has them already: nothing is committed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is held in memory, and how long is waited."""

    read_records: int = 1000
    records_in_flight: int = 20_000
    commit_seconds: float = 1.0
    stop_seconds: float = 20.0


class Runner:
    """
    Runs until `stop` is called, or until the feed has ended and everything is done.

    Raises what a sink raised that is neither TryAgain nor Rejected; then nothing of that batch is committed.
    """

    def __init__(
        self,
        feed: Feed,
        routes: Sequence[Route],
        decode: Callable[[bytes], TableAction | None],
        set_aside: SetsAside,
        limits: Limits | None = None,
        retries: Retries | None = None,
    ) -> None:
        self._feed = feed
        self._decode = decode
        self._set_aside = set_aside
        self._limits = limits or Limits()
        self._retries = retries or Retries()
        self._report: Report = SimpleQueue()
        self._pools = [_Pool(one, self._report, self._retries, set_aside) for one in routes]
        self._wanting: dict[tuple[Action, str, str], list[_Pool]] = {}
        self._claims: dict[Partition, Claim] = {}
        self._in_flight = 0
        self._committed_at = 0.0
        self.progress = Vitals()
        self.why_away = ""
        """What the target said when it could not be opened."""
        self._stopping = threading.Event()
        self.finished = False
        """Whether the feed has ended and everything that it gave was applied or set aside."""

    @property
    def ready(self) -> bool:
        """Whether every target takes records."""
        return not any(lane.waiting for pool in self._pools for lane in pool.lanes)

    @property
    def standing(self) -> Literal["reading", "joining", "waiting"]:
        """The feed's."""
        return self._feed.standing

    @property
    def in_flight(self) -> int:
        """Deliveries that are read and not yet applied; any thread may ask."""
        return self._in_flight

    def read_up_to(self) -> dict[Partition, int | None]:
        """The partitions that this process has, and the next offset of each; any thread may ask."""
        return {one: claim.next for one, claim in list(self._claims.items())}

    def applying_seconds(self) -> float:
        """For how long the batch that is the oldest is being applied."""
        since = [lane.applying_since for pool in self._pools for lane in pool.lanes if lane.applying_since is not None]
        return time.monotonic() - min(since, default=time.monotonic())

    def stop(self) -> None:
        """Finish what is in flight, commit, and return from `run`; may be called by a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        opened: list[_Pool] = []
        try:
            for pool in self._pools:
                if not self._open(pool):
                    return
                opened.append(pool)
            self._feed.open(self)
            self.progress.enter("running")
            try:
                self._loop()
            finally:
                self.progress.enter("ended")
                self.lost(list(self._claims))  # what is under way by now is left to the next start
                self._feed.close()
        finally:
            for pool in opened:
                pool.close(self._limits.stop_seconds)

    def _open(self, pool: _Pool) -> bool:
        """Opens the sink, however long its target is away; False when told to stop meanwhile."""
        attempts = 0
        while not self._stopping.is_set():
            try:
                pool.open()
            except TryAgain as error:
                attempts += 1
                self.why_away = error.why
                metrics.TARGET_READY.set(0)
                delay = self._retries.delay(attempts, error.after_seconds)
                log.warning("The target was not ready", connector=pool.route.name, why=error.why, attempt=attempts)
                self._stopping.wait(delay)
            else:
                return True
        return False

    def _loop(self) -> None:
        limits = self._limits
        whole = True
        while not self._stopping.is_set() and not self._feed.ended:
            self.progress.moved()
            whole = self._dispatch(self._feed.read(limits.read_records, _READ_SECONDS))
            self._settle()
            if whole:
                self._reach_ends()
            if self._in_flight >= limits.records_in_flight:
                self._until(lambda: self._in_flight <= limits.records_in_flight // 2)
            self._commit_if_due()
        self.finished = whole and self._feed.ended and self._until(lambda: self._in_flight == 0)
        if not self.finished:
            self._until(self._all_idle, limits.stop_seconds)
        self._feed.commit(self._positions(self._claims), wait=True)

    def _reach_ends(self) -> None:
        """Behind the last record lie markers of transactions: a lag that counts them would never be zero."""
        for partition, offset in self._feed.ends():
            claim = self._claims.get(partition)
            if claim is not None:  # records that came behind the end may have been read with it
                claim.next = offset if claim.next is None else max(claim.next, offset)

    def _dispatch(self, messages: Sequence[Message]) -> bool:
        """Whether all went to their lanes; False when told to stop meanwhile, and the rest comes again."""
        spans: dict[tuple[str, int], Span] = {}
        decode, wanting = self._decode, self._wanting
        claims = dict(self._claims)  # a partition can go and come back meanwhile: then all of it comes again
        for message in messages:
            topic, number, offset = message.topic(), message.partition(), message.offset()
            span = spans.get((topic, number))
            if span is None:
                claim = claims.get(Partition(topic, number))
                if claim is None or not claim.held:
                    continue  # it was taken away after this was read; its new owner reads it again
                span = spans[topic, number] = Span(claim)
                claim.spans.append(span)
            span.claim.next = offset + 1
            raw = message.value()
            if raw is None:
                continue  # the tombstone behind a delete, for the broker's compaction only
            try:
                record = decode(raw)
            except UnreadableData as error:
                self._refuse(message, error)
                continue
            if record is None:
                continue  # not wanted
            pools = wanting.get((record.action, record.schema, record.table))
            if pools is None:
                pools = self._wanted_by(record)
            for _ in pools:
                span.open += 1
                span.offsets.append(offset)
            if record.action is Action.TRUNCATE:
                if not self._alone(pools, (record, message, span)):
                    return False
                spans.clear()  # a commit meanwhile may have closed them, so what follows is counted in new ones
                continue
            for pool in pools:
                lane = hash((record.schema, record.table, record.pk)) % pool.size
                pool.pending[lane].append((record, message, span))
        self._send()
        return True

    def _wanted_by(self, record: TableAction) -> list[_Pool]:
        pools = [pool for pool in self._pools if pool.route.wants(record)]
        self._wanting[record.action, record.schema, record.table] = pools
        return pools

    def _alone(self, pools: Sequence[_Pool], truncate: Delivery) -> bool:
        """Every earlier record is applied before a truncate, and no later one until it is: it concerns all keys."""
        self._send()
        if not self._until(lambda: all(pool.idle for pool in pools)):
            return False
        for pool in pools:
            self._in_flight += pool.send(0, [truncate])
        return self._until(lambda: all(pool.idle for pool in pools))

    def _send(self) -> None:
        for pool in self._pools:
            for number, deliveries in enumerate(pool.pending):
                if deliveries:
                    self._in_flight += pool.send(number, deliveries)
                    pool.pending[number] = []

    def _refuse(self, message: Message, error: UnreadableData) -> None:
        self._set_aside.put(message, str(error), error, 1)
        metrics.DEAD_LETTERS.labels("unreadable").inc()
        log.error("A message that is no record was set aside", topic=message.topic(), partition=message.partition(),
                  offset=message.offset(), why=str(error))  # fmt: skip

    def _settle(self, seconds: float = 0.0) -> None:
        """Counts off what the lanes have done; waits up to `seconds` for a first report."""
        metrics.TARGET_READY.set(self.ready)
        report = self._report
        try:
            done = report.get(timeout=seconds) if seconds else report.get_nowait()
            while True:
                if isinstance(done, BaseException):
                    raise done
                self._in_flight -= len(done)
                for _, message, span in done:
                    span.open -= 1
                    span.done.append(message.offset())
                done = report.get_nowait()
        except Empty:
            return

    def _until(self, condition: Callable[[], bool], seconds: float | None = None, *, polling: bool = True) -> bool:
        """Waits for the lanes; after a while the feed is kept alive by polls that read nothing."""
        start = time.monotonic()
        while not condition():
            self.progress.moved()
            waited = time.monotonic() - start
            if seconds is not None and waited > seconds:
                return False
            if seconds is None and self._stopping.is_set():
                return False
            self._settle(_SETTLE_SECONDS)
            if polling and waited > _PATIENCE_SECONDS:
                self._feed.idle()
                self._commit_if_due()
        return True

    def _all_idle(self) -> bool:
        return all(pool.idle for pool in self._pools)

    def _commit_if_due(self) -> None:
        if time.monotonic() - self._committed_at >= self._limits.commit_seconds:
            self._committed_at = time.monotonic()
            self._feed.commit(self._positions(self._claims), wait=False)

    def _positions(self, of: Iterable[Partition]) -> dict[Partition, int]:
        self._settle()
        found = {one: self._claims[one].position for one in of}
        return {one: position for one, position in found.items() if position is not None}

    def assigned(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._claims[partition] = Claim()

    def revoked(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        going = [one for one in partitions if one in self._claims]
        done = [self._claims[one] for one in going]
        self._until(
            lambda: all(one.done for one in done) or self._all_idle(), self._limits.stop_seconds, polling=False
        )  # this is called from within a poll
        positions = self._positions(going)
        self.lost(going)
        return positions

    def lost(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            claim = self._claims.pop(partition, None)
            if claim is not None:
                claim.held = False


class _Pool:
    """The lanes of one route, and what was read for each but not yet sent."""

    def __init__(self, route: Route, report: Report, retries: Retries, set_aside: SetsAside) -> None:
        self.route = route
        self.size = route.workers
        self.lanes = [Lane(route, number, report, retries, set_aside) for number in range(route.workers)]
        self.pending: list[list[Delivery]] = [[] for _ in self.lanes]

    def open(self) -> None:
        self.route.sink.open()
        for lane in self.lanes:
            lane.start()

    @property
    def idle(self) -> bool:
        return all(lane.idle for lane in self.lanes)

    def send(self, number: int, deliveries: list[Delivery]) -> int:
        """How many are under way now because of it."""
        self.lanes[number].send(deliveries)
        return len(deliveries)

    def close(self, seconds: float) -> None:
        """A lane that hangs in its sink for longer is left behind: its thread ends with the process."""
        for lane in self.lanes:
            lane.end()
        deadline = time.monotonic() + seconds
        for lane in self.lanes:
            lane.join(max(0.0, deadline - time.monotonic()))
        self.route.sink.close()
