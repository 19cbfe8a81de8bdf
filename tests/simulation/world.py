"""
A world made from one seed: a source, a Kafka, captures one after the other and at once, and what befalls them.

Everything is one call stack.  A capture runs until it asks something of the outside; each such effect is a moment at
which anything can happen: the workload goes on, connections break, the process dies, or stands still while another
capture lives its whole life inside of that moment.
"""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from uuid import UUID

from meepo2_cdc.config import CaptureSettings, Settings, SourceSettings, TopicsSettings
from meepo2_cdc.errors import ConfigError, Error, Fenced, PositionLost, UnreadableData
from tests.simulation import workload
from tests.simulation.audit import Audit, Violation
from tests.simulation.capture import EPOCH_S, Killed, Process, installed
from tests.simulation.faults import Damage, Faults
from tests.simulation.history import History, Txn
from tests.simulation.kafka import Broker, Transaction
from tests.simulation.log_files import Identity
from tests.simulation.mysql import SimServer
from tests.simulation.workload import Snapshot, Workload, mix

LENGTH = 240
"""Effects of one run, before the faults end."""
CRASHED = "the program is wrong"
_LIFE = (10, 180)
_CALM_LIMIT = 6_000
_IDLE_LIMIT = 60
_DEEPEST = 3


class SimWorld:
    """
    `server` is what the capture's address leads to; `lineage` are all servers that share the history, by identity.
    `damage` is set while the address leads to a server that must be refused.  `ruler` is the process that fenced the
    others last.
    """

    def __init__(
        self,
        seed: int,
        *,
        tracing: bool = False,
        favoured: frozenset[str] = frozenset(),
    ) -> None:
        self.seed = seed
        self.dice = Random(seed)  # noqa: S311  chance that can be had again, not secrets
        self.trace: list[str] | None = [] if tracing else None
        self.steps = 0
        self.now = 0.0
        self.wall_offset_s = 0.0
        self.unreachable = 0
        self.calm = False
        self.damage: Damage | None = None
        self.alive: list[Process] = []
        self.ruler: Process | None = None
        self._processes = 0
        self._idle = 0
        self._calm_steps = 0
        self.favoured = favoured
        self.current: Process | None = None
        self.retired: set[str] = set()
        self._make_source()
        start, base = self._first_start()
        self.settings = self._make_settings(start)
        self.audit = Audit(self, base)
        self.broker = Broker(self._decided, self._marker_lag)
        self.faults = Faults(self)

    # -- making it

    def _make_source(self) -> None:
        kinds = ("mysql", "mysql", "mysql", "files", "mariadb")
        kind = next((one for one in kinds if one in self.favoured), None) or self.dice.choice(kinds)
        self.flavor, self.has_gtids = ("mariadb" if kind == "mariadb" else "mysql"), kind != "files"
        self.history = History()
        self.workload = Workload(self.dice, mix(self.dice, self.favoured))
        self.snapshots: list[Snapshot] = [self.workload.snapshot()]
        self.lineage: dict[str, SimServer] = {}
        self.server = self.intact = self.new_server(self.history.txns)
        self.lineage[self.server.identity.name] = self.server
        for _ in range(self.dice.choice((0, 0, 3, 12))):
            self.now += self.dice.uniform(1.1, 5)
            self.work(earliest_readable=None)

    def new_server(self, txns: list[Txn], *, first_file: int = 1) -> SimServer:
        dice = self.dice
        identity = Identity(
            self.flavor, UUID(int=dice.getrandbits(128)), dice.randint(1, 1 << 20), self.has_gtids,
            dice.random() < 0.8, dice.choice(("binlog", "mysql-bin")),
        )  # fmt: skip
        server = SimServer(identity, txns, dice, int(self.wall_s), first_file)
        server.catch_up()
        return server

    def _first_start(self) -> tuple[str, int | None]:
        """The setting `start`, and which transaction it means if that is known beforehand."""
        kinds = ("earliest", "earliest", "latest", "latest", "file", "gtids", "time")
        kind = next((one for one in kinds if one in self.favoured), None) or self.dice.choice(kinds)
        if kind == "latest":
            return kind, None
        count = len(self.history.txns)
        if kind == "earliest" or count < 3:
            return "earliest", 0
        base = self.dice.randrange(1, count)
        if kind == "gtids" and self.has_gtids:
            return self.server.gtid_text(base), base
        if kind == "time":
            moment = datetime.fromtimestamp(self.history.txns[base].committed_us // 1_000_000, UTC)
            return moment.isoformat(), base
        file, offset = self.server.place_of(base)
        return f"{file}:{offset}", base

    def _make_settings(self, start: str) -> Settings:
        dice = self.dice
        return Settings(
            prefix="sim",
            tables=workload.CAPTURED,
            source=SourceSettings(name="db", heartbeat_seconds=0.5),
            capture=CaptureSettings(
                start=start,
                commit_rows=dice.choice((1, 4, 8, 12, 20)),
                commit_bytes=dice.choice((700, 1 << 23, 1 << 23, 1 << 23)),
                commit_interval_ms=dice.choice((20, 100, 1000)),
                idle_checkpoint_seconds=dice.choice((1, 10)),
            ),
            topics=TopicsSettings(partitions=workload.PARTITIONS, cleanup_policy=dice.choice(("delete", "compact"))),
            kafka={"bootstrap.servers": "sim"},
        )

    @property
    def wall_s(self) -> float:
        return EPOCH_S + self.now + self.wall_offset_s

    @staticmethod
    def transactional_id(process: Process) -> str:
        return "sim.db"

    # -- running it

    def run(self) -> None:
        """Raises AssertionError, with the seed, when something does not hold."""
        try:
            with installed(self):
                while self.steps < LENGTH:
                    self.live()
                self.end()
        except Violation as violation:
            said = "" if self.trace is None else "\n".join(["", *self.trace])
            raise AssertionError(f"seed {self.seed}, step {self.steps}: {violation}{said}") from violation

    def live(self, effects: int | None = None) -> Process:
        """One process, from its start to its end."""
        before = self.current
        self._processes += 1
        effects = effects or self.dice.randint(*_LIFE)
        process = Process(self, self._processes, effects=effects, once=not self.calm and self.dice.random() < 0.1)
        self.alive.append(process)
        try:
            self.say(process, "starts")
            process.service.run()
            self.say(process, "ended")
        except Killed:
            self.say(process, "was killed")
        except Exception as error:  # noqa: BLE001  the whole of it is judged
            self.say(process, f"ended with {type(error).__name__}: {error}".partition("\n")[0])
            self._judge(process, error)
        finally:
            process.dead = True
            self.alive.remove(process)
            self.current = before
        return process

    def _judge(self, process: Process, error: Exception) -> None:
        """Whether the process had a reason to end like this."""
        if isinstance(error, PositionLost | ConfigError) and process.may_be_refused:
            process.refused = True
            return
        known = isinstance(error, Error) or type(error).__name__ == "KafkaException"
        if not known:
            raise Violation(f"{CRASHED}, in process {process.number}: {type(error).__name__}: {error}") from error
        if self.calm or isinstance(error, PositionLost | UnreadableData | ConfigError):
            raise Violation(f"process {process.number} ended with {type(error).__name__}: {error}") from error
        if isinstance(error, Fenced) and not process.has_rival:
            raise Violation(f"process {process.number} believes that it was fenced: {error}")

    def effect(self, process: Process, step: str, seconds: float | None) -> None:
        """Called at each step that leaves a process."""
        self.steps += 1
        self.pass_time(self.dice.choice((0.001, 0.004, 0.02)) if seconds is None else seconds)
        self.audit.memory(process)
        process.step = step
        self.say(process, step)
        if self.calm:
            self._calm_steps += 1
            process.executor.run_waiting()
            if self._calm_steps > _CALM_LIMIT:
                raise Violation(f"liveness: {_CALM_LIMIT} steps without faults, and the topic is not the truth")
            return
        process.effects_left -= 1
        if process.effects_left <= 0:
            process.die()
        self.faults.befall(process)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.broker.advance(self.now)

    def nested(self, process: Process) -> None:
        """Another capture lives while this process stands still."""
        if len(self.alive) < _DEEPEST:
            self.say(process, "stands still")
            self.live()
            self.say(process, "goes on")

    def work(self, earliest_readable: int | None) -> None:
        """One transaction on the source."""
        txn = self.workload.next(len(self.history.txns), earliest_readable)
        if txn is None:
            return
        self.server.commit(txn, int(self.wall_s * 1_000_000))
        self.history.append(txn)
        self.snapshots.append(self.workload.snapshot())
        self.say(None, f"{txn.gtid} is committed, {txn.kind}, {len(txn.told)} rows")

    def promote(self, server: SimServer) -> None:
        """From now on the source; it has the whole history."""
        server.catch_up()
        self.server = self.intact = self.lineage[server.identity.name] = server
        self.say(None, f"failover to {server.identity.name}")

    def cut(self, count: int) -> None:
        """The source is lost, and with it all but its first transactions; the others never happened."""
        self.say(None, f"the source is lost, with {len(self.history.txns) - count} transactions")
        self.retired |= self.lineage.keys()
        self.history.cut(count)
        del self.snapshots[count + 1 :]
        self.workload.restore(self.snapshots[count])

    def say(self, process: Process | None, what: str) -> None:
        if self.trace is not None:
            who = "        " if process is None else f"{'  ' * (len(self.alive) - 1)}#{process.number:<4}"
            self.trace.append(f"{self.steps:5} {self.now:9.3f} {who} {what}")

    # -- what the broker tells

    def _decided(self, transaction: Transaction) -> None:
        rows = self.audit.row
        self.audit.committed(transaction)
        if self.trace is not None and self.audit.checkpoint is not None:
            at = self.audit.checkpoint
            self.say(
                None,
                f"Kafka commits {self.audit.row - rows} rows: {at.gtid_set} {at.file}:{at.position}+{at.rows_done}",
            )

    def _marker_lag(self) -> float:
        return self.dice.choice((0, 0, 0.01, 0.5)) if not self.calm else 0

    # -- ending it

    def end(self) -> None:
        """Faults are off: what must be refused is refused, and then everything arrives."""
        self.say(None, "faults end")
        self.calm = True
        self.unreachable = 0
        if self.damage is not None:
            if not self.damage.can_go_on():
                process = self.live()
                if not process.refused:
                    raise Violation(f"{self.damage.name}: the capture went on from a server that lacks what it needs")
            self.faults.heal_now()
        self._idle = 0
        self.live()
        if not self.audit.caught_up():
            raise Violation("liveness: the capture ended before it had published everything")
        self.audit.at_end()

    def on_idle(self, process: Process) -> None:
        """Nothing more is waiting on the source."""
        if not self.calm:
            return
        self._idle += 1
        if self.audit.caught_up():
            process.service.stop()
        elif self._idle > _IDLE_LIMIT:
            raise Violation("liveness: the source is read to its end, and the topic is not the truth")
