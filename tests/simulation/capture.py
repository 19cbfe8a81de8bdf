"""
One process: the real capture service with simulated surroundings, from its start to its death.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import stamina
import structlog

from meepo2_cdc.capture import checkpointing, encoder
from meepo2_cdc.capture.binlog import source as binlog_source
from meepo2_cdc.capture.binlog import start as binlog_start
from meepo2_cdc.capture.binlog.source import BinlogSource
from meepo2_cdc.capture.service import CaptureService
from meepo2_cdc.errors import SourceUnavailable
from meepo2_cdc.kafka import checkpoints, writer
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.table_filter import TableFilter
from tests.simulation.clients import CHECKPOINTS, SimConsumer, SimProducer, SimTopics
from tests.simulation.source import SimDump, SimDumpLink, SimSourceServer, SimStream, SimVisibility

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

EPOCH_S = 1_700_000_000
_CONNECT_ATTEMPTS = 8


class Killed(BaseException):
    """The process is no more: nothing it still does has an effect."""


class Process:
    """
    `effects_left` is how long it lives.  `has_rival`: another one may have fenced it.  `may_be_refused`: what it reads
    may be gone from the server it is led to.  `sent` is the number of transactions that any of its dumps has sent.
    """

    def __init__(self, world: SimWorld, number: int, *, effects: int, once: bool) -> None:
        self.world = world
        self.number = number
        self.effects_left = effects
        self.dead = self.has_rival = False
        self.may_be_refused = world.damage is not None
        self.refused = False
        self.step = ""
        self.link: SimDumpLink | None = None
        self.dump: SimDump | None = None
        self.sent = 0
        self._troubles: dict[str, str] = {}
        self.executor = SimExecutor(self)
        world.current = self
        self.service = self._service(once)

    @property
    def dice(self) -> Random:
        return self.world.dice

    def _service(self, once: bool) -> CaptureService:
        settings = self.world.settings
        source = BinlogSource(settings.source, 4711, TableFilter(settings.tables))
        transactional_id = self.world.transactional_id(self)
        kafka_writer = TransactionalWriter(
            settings.kafka, transactional_id, CHECKPOINTS, settings.source.name, sleep=self.world.pass_time
        )
        topics: Any = SimTopics(self)
        service = CaptureService(
            settings, source, kafka_writer, topics, once=once, executor=self.executor, clock=lambda: self.world.now
        )
        service.stopping = Stopping(self)  # type: ignore[assignment]
        return service

    # -- effects

    def effect(self, step: str, *, seconds: float | None = None) -> None:
        if self.dead:
            raise Killed
        self.world.effect(self, step, seconds)

    def reach(self, step: str) -> None:
        """An effect that needs the server."""
        self.effect(step)
        if self.world.unreachable > 0:
            self.world.unreachable -= 1
            raise SourceUnavailable("sim:3306 does not answer")

    def idle(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        self.world.on_idle(self)

    def take_over(self) -> None:
        """About to fence whoever else there is."""
        self.world.ruler = self
        for other in self.world.alive:
            other.has_rival = other.has_rival or other is not self

    def die(self) -> None:
        self.dead = True
        raise Killed

    # -- troubles to come

    def plan_trouble(self, step: str, kind: str) -> None:
        self._troubles[step] = kind

    def take_trouble(self, step: str) -> str | None:
        return self._troubles.pop(step, None)

    # -- what it holds

    @property
    def buffered_rows(self) -> int:
        encoder = getattr(self.service, "_encoder", None)
        return 0 if encoder is None else encoder.rows

    @property
    def reading(self) -> Any:
        """The position it reads on from; None before there is one."""
        reader = getattr(self.service, "_reader", None)
        return None if reader is None else reader.reading


class SimExecutor(Executor):
    """The one thread of the committer: a batch is committed at once, later, or when somebody waits for it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._waiting: tuple[Deferred, Callable[[], object]] | None = None

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert self._waiting is None, "two batches at once"
        future = Deferred(self)
        self._waiting = future, lambda: job(*args, **kwargs)
        if self._process.dice.random() < 0.4:
            self.run_waiting()
        return future

    def run_waiting(self) -> None:
        if self._waiting is None:
            return
        (future, job), self._waiting = self._waiting, None
        try:
            future.set_result(job())
        except Exception as error:  # noqa: BLE001  as a thread pool does; whoever asks for the result gets it
            future.set_exception(error)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """What was begun is waited for; what was not is dropped."""
        if self._process.dice.random() < 0.5 and not self._process.dead:
            self.run_waiting()
        self._waiting = None


class Deferred(Future[Any]):
    def __init__(self, executor: SimExecutor) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> Any:
        self._executor.run_waiting()
        return super().result(0)


class Stopping:
    """The service's event, whose waiting takes no time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float = 0) -> bool:
        self._process.effect("wait", seconds=timeout)
        return self._set


class SimTime:
    """The module `time`, as far as it is used.  The wall clock may step, the monotonic one does not."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now

    def time_ns(self) -> int:
        return int(self._world.wall_s * 1e9)


@contextmanager
def installed(world: SimWorld) -> Iterator[None]:
    """Puts the simulated surroundings in the place of the real ones."""

    def dumped(source: object, server_id: int, flavor: str, where: Any) -> SimDump:
        return SimDumpLink(world.current).begin(server_id, flavor, where)

    replaced: list[tuple[Any, str, Any]] = [
        *((module, "time", SimTime(world)) for module in (writer, checkpoints, checkpointing, encoder)),
        (binlog_source, "DumpLink", lambda settings: SimDumpLink(world.current)),
        (binlog_start, "open_dump", dumped),
        *((module, "BinlogStream", SimStream) for module in (binlog_source, binlog_start)),
        (writer, "Producer", lambda config: SimProducer(world.current, config)),
        (checkpoints, "Consumer", lambda config: SimConsumer(world.current, config)),
        (binlog_source, "Visibility", lambda settings, patience: SimVisibility(world.current)),
        (binlog_source, "SourceServer", lambda settings: SimSourceServer(world.current)),
        (binlog_source.preflight, "require", lambda *arguments: world.current.reach("preflight")),
    ]
    before = structlog.get_config()
    with ExitStack() as stack:
        for module, name, stand_in in replaced:
            stack.enter_context(patch.object(module, name, stand_in))
        stack.enter_context(stamina.set_testing(True, attempts=_CONNECT_ATTEMPTS))
        stack.callback(structlog.configure, **before)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        yield
