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
_STOP_EVENT = 3
_TAKEOVER_STEPS = ("init", "initiated", "watermarks", "commit", "committed")
"""Where a process that stands still, or dies, is most likely to meet another one's work."""

QUIET = "quiet"
"""Favoured, it leaves nothing but work within the life of a process."""

Befall = Callable[["Process"], None]


class Damage:
    """The address leads to a server that lacks what follows the checkpoint, or never had what is before it."""

    def __init__(self, world: SimWorld, name: str) -> None:
        self._world = world
        self.name = name

    def can_go_on(self) -> bool:
        """Whether a capture may go on all the same: what was purged had been read before, and is published by now."""
        world = self._world
        return world.server is world.intact and needed_file(world) >= 0


def needed_file(world: SimWorld) -> int:
    """The index of the first file that a new capture would read; negative when it is not there any more."""
    server, checkpoint = world.intact, world.audit.checkpoint
    if checkpoint is None:
        return 0
    count, _ = world.audit.place(checkpoint)
    undecided = world.audit.undecided_of(checkpoint)
    if checkpoint.gtid_set is None:
        names = [checkpoint.file] + ([] if checkpoint.undecided is None else [checkpoint.undecided.file])
        found = [server.file_index(name) for name in names]
        return min(-1 if index is None else index for index in found)
    needed = count if undecided is None else min(count, undecided)
    return sum(file.first_txn <= needed for file in server.files) - 1


class Faults:
    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._dice = dice = world.dice
        often: dict[Befall, float] = {
            self.work: 22, self.other_thread: 12, self.lose_connection: 3, self.be_unreachable: 0.5,
            self.die: 1.5, self.stop: 0.7, self.zombie: 1.5, self.pause: 1, self.step_clock: 0.5,
            self.trouble: 3, self.intrude: 1, self.flush: 1, self.restart_server: 0.5, self.purge: 1,
            self.mute: 0.5, self.fail_over: 1, self.lose_tail: 0.6, self.damage: 0.4, self.heal: 1.5,
        }  # fmt: skip
        always = (self.work, self.heal, self.other_thread)
        chosen = {kind: much * (1 if kind in always else dice.choice((0, 1, 1, 4))) for kind, much in often.items()}
        chosen |= {kind: much * 6 for kind, much in often.items() if kind.__name__ in world.favoured}
        if QUIET in world.favoured:
            chosen = {kind: much for kind, much in often.items() if kind in always}
        self._kinds = list(chosen)
        self._bounds = list(accumulate(chosen.values()))
        self._quiet = dice.choice((10, 40, 100))
        self._at_takeovers = 0 if QUIET in world.favoured else dice.choice((0, 0.02, 0.1))

    def befall(self, process: Process) -> None:
        dice = self._dice
        if process.step in _TAKEOVER_STEPS and dice.random() < self._at_takeovers:
            dice.choice((self.zombie, self.zombie, self.die, self.pause))(process)
            return
        roll = dice.random() * (self._bounds[-1] + self._quiet)
        if roll < self._bounds[-1]:
            self._kinds[bisect(self._bounds, roll)](process)

    # -- life goes on

    def work(self, process: Process) -> None:
        world = self._world
        if world.server is world.intact:
            for _ in range(self._dice.choice((1, 1, 3))):
                world.work(world.audit.base)

    def other_thread(self, process: Process) -> None:
        process.executor.run_waiting()

    def stop(self, process: Process) -> None:
        process.service.stop()

    # -- the process

    def die(self, process: Process) -> None:
        process.die()

    def zombie(self, process: Process) -> None:
        self._world.pass_time(self._dice.choice((0, 2, 30)))
        self._world.nested(process)

    def pause(self, process: Process) -> None:
        self._world.pass_time(self._dice.choice((0.2, 3, 25)))

    def step_clock(self, process: Process) -> None:
        """The wall clock.  Not before the capture began: where it begins may be a time."""
        if self._settled():
            self._world.wall_offset_s += self._dice.choice((-_HOUR, -0.5, 0.5, _HOUR))

    # -- Kafka

    def trouble(self, process: Process) -> None:
        kinds = ("fatal", "lost", "late", "late", "unanswered", "slow")
        process.plan_trouble("commit", self._dice.choice(kinds))
        if self._dice.random() < 0.1:
            process.plan_trouble("init", "fatal")

    def intrude(self, process: Process) -> None:
        """Somebody else has a transaction in the checkpoint topic, and leaves it open for a while."""
        broker = self._world.broker
        if (CHECKPOINTS, 0) in broker.partitions:
            session = broker.init("somebody else", None)
            broker.append(session, CHECKPOINTS, 0, (b"somebody else", b"?", 0), self._dice.choice((1.0, 20.0)))

    # -- the source

    def lose_connection(self, process: Process) -> None:
        if process.dump is not None:
            process.dump.broken = True

    def mute(self, process: Process) -> None:
        if process.dump is not None:
            process.dump.muted = True

    def be_unreachable(self, process: Process) -> None:
        self._world.unreachable = self._dice.choice((1, 3, 12))

    def flush(self, process: Process) -> None:
        self._world.intact.flush(int(self._world.wall_s))

    def restart_server(self, process: Process) -> None:
        """Orderly, or by a crash that leaves its file without an end."""
        self._world.intact.flush(int(self._world.wall_s), ending=self._dice.choice((None, _STOP_EVENT)))
        self._cut_connections()

    def _cut_connections(self, *, all_of_them: bool = False) -> None:
        """One that is no dump yet may still lead to a server that was replaced; if that was only restarted, not."""
        for process in self._world.alive:
            self.lose_connection(process)
            link = process.link
            if link is not None and (all_of_them or link.identity == self._world.server.identity.name):
                link.broken = True

    def _settled(self) -> bool:
        """Where the capture begins is written down."""
        return self._world.audit.checkpoint is not None

    def purge(self, process: Process) -> None:
        """What a new capture does not need; one that was overtaken may still want it."""
        world = self._world
        if not self._settled() or world.damage is not None:
            return
        for one in world.alive:
            one.may_be_refused = one.may_be_refused or one is not world.ruler
        world.server.purge_to(self._dice.randint(0, needed_file(world)))

    def fail_over(self, process: Process) -> None:
        """To a replica; without global ids its files and positions mean nothing."""
        world, checkpoint = self._world, self._world.audit.checkpoint
        if world.damage is not None or checkpoint is None:
            return
        if not world.has_gtids:
            self._lead_to(world.new_server(list(world.history.txns)), Damage(world, "positions of another server"))
        elif checkpoint.gtid_set is not None:
            for one in world.alive:
                reading = one.reading
                one.may_be_refused = one.may_be_refused or reading is None or reading.gtids is None
            others = [one for name, one in world.lineage.items() if name not in world.retired]
            new = world.new_server(world.history.txns, first_file=self._dice.choice((1, 2, 40)))
            world.promote(self._dice.choice([*others, new, new]))
            self._cut_connections()

    def lose_tail(self, process: Process) -> None:
        """To a replica that lacks the last transactions, of which the capture has seen nothing."""
        world, checkpoint = self._world, self._world.audit.checkpoint
        if world.damage is not None or checkpoint is None:
            return
        if not checkpoint.gtid_set or any(one.reading is None or one.reading.gtids is None for one in world.alive):
            return
        count, _ = world.audit.place(checkpoint)
        seen = max([count + (checkpoint.rows_done > 0), *(one.sent for one in world.alive)])
        if seen < len(world.history.txns):
            world.cut(self._dice.randrange(seen, len(world.history.txns)))
            world.promote(world.new_server(world.history.txns, first_file=self._dice.choice((1, 7))))
            self._cut_connections(all_of_them=True)

    # -- what must be refused

    def damage(self, process: Process) -> None:
        if self._world.damage is None and self._settled():
            self._dice.choice((self._purge_too_much, self._restore, self._diverge))()

    def _purge_too_much(self) -> None:
        world = self._world
        index = needed_file(world) + 1
        if 0 < index < len(world.server.files):
            world.server.purge_to(index)
            self._lead_to(world.server, Damage(world, "purged"))

    def _restore(self) -> None:
        count = self._published()
        if count:
            self._lead_to(self._world.server.backup(self._dice.randrange(count)), Damage(self._world, "restored"))

    def _diverge(self) -> None:
        """A server that lacks what is published, and has something else in its place."""
        world, checkpoint = self._world, self._world.audit.checkpoint
        count = self._published() + (checkpoint is not None and checkpoint.rows_done > 0)
        if not count:
            return
        # the later the histories part, the less of it shows
        other = world.new_server(world.history.txns[: max(self._dice.randrange(count), self._dice.randrange(count))])
        for number in range(self._dice.choice((1, 3))):
            poison = Statement(item(0), "write", [((_POISON - number, None),)])
            other.commit(Txn(h.COMMIT, [poison], poison.told()), int(world.wall_s * 1_000_000))
        self._lead_to(other, Damage(world, "diverged"))

    def _published(self) -> int:
        checkpoint = self._world.audit.checkpoint
        return 0 if checkpoint is None else self._world.audit.place(checkpoint)[0]

    def _lead_to(self, server: SimServer, damage: Damage) -> None:
        world = self._world
        cut = server is not world.server or self._dice.random() < 0.5
        world.server, world.damage = server, damage
        if cut:
            self._cut_connections()
        world.say(None, f"damage: {damage.name}")
        for one in world.alive:
            one.may_be_refused = True

    def heal(self, process: Process) -> None:
        if self._world.damage is not None and self._dice.random() < 0.2:
            self.heal_now()

    def heal_now(self) -> None:
        world = self._world
        world.damage = None
        world.intact.bring_back()
        if world.server is not world.intact:
            world.server = world.intact
            self._cut_connections()
        world.say(None, "healed")
