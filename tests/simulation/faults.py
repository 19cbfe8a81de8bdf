"""
What befalls a capture and its surroundings between two of its steps.

Each world has its own mix: some faults often, some never, so that rare combinations come up in some worlds.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

from tests.simulation import history as h
from tests.simulation import log_events as ev
from tests.simulation.clients import CHECKPOINTS
from tests.simulation.history import Statement, Txn
from tests.simulation.workload import item

if TYPE_CHECKING:
    from tests.simulation.capture import Process
    from tests.simulation.mysql import SimServer
    from tests.simulation.world import SimWorld

_HOUR = 3600.0
_POISON = -777
"""A key that is on no server of the lineage."""


class Damage:
    """The address leads to a server that cannot go on from the checkpoint."""

    def __init__(self, world: SimWorld, name: str) -> None:
        self._world = world
        self.name = name

    def can_go_on(self) -> bool:
        """Whether a capture may go on all the same: what is missing was published meanwhile."""
        world, checkpoint = self._world, self._world.audit.checkpoint
        if checkpoint is None or world.server is not world.intact:
            return checkpoint is None
        count, _ = world.audit.place(checkpoint)
        undecided = world.audit.undecided_of(checkpoint)
        needed = count if undecided is None else min(count, undecided)
        if checkpoint.gtid_set:
            return world.server.files[0].first_txn <= needed
        names = [checkpoint.file] + ([] if checkpoint.undecided is None else [checkpoint.undecided.file])
        return all(world.server.file_index(name) is not None for name in names)


class Faults:
    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._dice = dice = world.dice
        often: dict[Callable[[Process], None], float] = {
            self._work: 40, self._other_thread: 12, self._lose_connection: 2, self._be_unreachable: 0.5,
            self._die: 1.5, self._stop: 0.7, self._zombie: 1, self._pause: 1, self._step_clock: 0.5,
            self._trouble: 2, self._intrude: 1, self._flush: 1, self._restart_server: 0.5, self._purge: 1,
            self._mute: 0.5, self._fail_over: 1, self._lose_tail: 0.6, self._damage: 0.4, self._heal: 1.5,
        }  # fmt: skip
        always = (self._work, self._heal, self._other_thread)
        chosen = {kind: much * (1 if kind in always else dice.choice((0, 1, 1, 4))) for kind, much in often.items()}
        self._kinds = list(chosen)
        self._bounds = list(accumulate(chosen.values()))
        self._quiet = 100 * dice.choice((0.2, 1, 1))

    def befall(self, process: Process) -> None:
        roll = self._dice.random() * (self._bounds[-1] + self._quiet)
        if roll < self._bounds[-1]:
            self._kinds[bisect(self._bounds, roll)](process)

    # -- life goes on

    def _work(self, process: Process) -> None:
        world = self._world
        if world.server is world.intact:
            for _ in range(self._dice.choice((1, 1, 1, 4))):
                world.work(world.audit.base)

    def _other_thread(self, process: Process) -> None:
        if not process.is_writing:
            process.executor.run_waiting()

    def _stop(self, process: Process) -> None:
        process.service.stop()

    # -- the process

    def _die(self, process: Process) -> None:
        process.die()

    def _zombie(self, process: Process) -> None:
        self._world.pass_time(self._dice.choice((0, 2, 30)))
        self._world.nested(process)

    def _pause(self, process: Process) -> None:
        self._world.pass_time(self._dice.choice((0.2, 3, 25)))

    def _step_clock(self, process: Process) -> None:
        """The wall clock.  Not before the capture began: where it begins may be a time."""
        if self._settled():
            self._world.wall_offset_s += self._dice.choice((-_HOUR, -0.5, 0.5, _HOUR))

    # -- Kafka

    def _trouble(self, process: Process) -> None:
        kinds = ("fatal", "lost", "late", "late", "unanswered", "slow")
        process.plan_trouble("commit", self._dice.choice(kinds))
        if self._dice.random() < 0.1:
            process.plan_trouble("init", "fatal")

    def _intrude(self, process: Process) -> None:
        """Somebody else has a transaction in the checkpoint topic, and leaves it open for a while."""
        broker = self._world.broker
        if (CHECKPOINTS, 0) in broker.partitions:
            session = broker.init("somebody else", None)
            broker.append(session, CHECKPOINTS, 0, (b"somebody else", b"?", 0), self._dice.choice((1.0, 20.0)))

    # -- the source

    def _lose_connection(self, process: Process) -> None:
        if process.dump is not None:
            process.dump.broken = True

    def _mute(self, process: Process) -> None:
        if process.dump is not None:
            process.dump.muted = True

    def _be_unreachable(self, process: Process) -> None:
        self._world.unreachable = self._dice.choice((1, 3, 12))

    def _flush(self, process: Process) -> None:
        self._world.server.flush(int(self._world.wall_s))

    def _restart_server(self, process: Process) -> None:
        """Orderly, or by a crash that leaves its file without an end."""
        self._world.server.flush(int(self._world.wall_s), ending=self._dice.choice((None, 3)))
        self._cut_connections()

    def _cut_connections(self) -> None:
        for process in self._world.alive:
            self._lose_connection(process)

    def _settled(self) -> bool:
        """Where the capture begins is written down."""
        return self._world.audit.checkpoint is not None

    def _purge(self, process: Process) -> None:
        """What nobody needs any more."""
        world = self._world
        needed = self._needed_file()
        if self._settled() and world.damage is None and needed:
            world.server.purge_to(self._dice.randint(0, needed))

    def _needed_file(self) -> int:
        """The index of the first file that any process, or a new one, would read."""
        world, checkpoint = self._world, self._world.audit.checkpoint
        if checkpoint is None or any(one.dump is None or one.dump.needs is None for one in world.alive):
            return 0
        ...
        return 0

    def _fail_over(self, process: Process) -> None: ...
    def _lose_tail(self, process: Process) -> None: ...
    def _damage(self, process: Process) -> None: ...
    def _heal(self, process: Process) -> None: ...
    def heal(self) -> None: ...
