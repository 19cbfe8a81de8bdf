"""
A consumer application as its status page and its metrics show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client.metrics import MetricWrapperBase

from meepo2_cdc.config import Settings
from meepo2_cdc.kafka.topics import TopicNames
from meepo2_cdc.observe import metrics, words
from meepo2_cdc.observe.cluster import Cluster
from meepo2_cdc.observe.content import Content, Curve, Table, Tile
from meepo2_cdc.observe.history import Meter
from meepo2_cdc.observe.redaction import redacted
from meepo2_cdc.observe.sections import cluster_sections, recent_troubles
from meepo2_cdc.observe.vitals import Health
from meepo2_cdc.replay.runner import Runner

_ROWS = 200


class RunSubject:
    """What is told of a Runner that is a member of a consumer group."""

    role: metrics.Role = "run"
    curves: Sequence[Curve] = (
        Curve("lag", "Lag of this process's partitions", "records"),
        Curve("applied", "Records applied", "per second"),
    )

    def __init__(self, settings: Settings, name: str, runner: Runner) -> None:
        self.title = f"{settings.prefix}: {name}"
        self._runner = runner
        self._longest_seconds = settings.run.live_seconds
        names = TopicNames(settings.prefix, settings.topics.template)
        self._cluster = Cluster(settings.kafka, names, settings.prefix)
        self._rate, self._took = Meter(), _Mean()
        metrics.QUEUE.set_function(lambda: runner.in_flight)

    def start(self) -> None:
        self._cluster.start()

    def close(self) -> None:
        self._cluster.close()

    def health(self) -> Health:
        vitals = self._runner.progress
        still = vitals.clock() - vitals.moved_at
        if vitals.state == "running" and self._runner.standing == "waiting":
            return Health("waiting", still)
        return Health(vitals.state, still, tuple(self._lacks()))

    def _lacks(self) -> list[str]:
        runner, lacks = self._runner, []
        if runner.progress.state == "starting":
            why = f": {redacted(runner.why_away)}" if runner.why_away else ""
            lacks.append(f"the target is not open yet{why}")
        elif runner.progress.state == "ended":
            lacks.append("it ends")
        elif runner.standing == "joining":
            lacks.append("the consumer group has not assigned partitions yet")
        if not runner.ready:
            lacks.append("the target takes no records now, and is tried again")
        if (seconds := runner.applying_seconds()) > self._longest_seconds:
            lacks.append(f"a batch is being applied for {words.duration(seconds)}")
        return lacks

    def sample(self) -> Mapping[str, float]:
        applied = metrics.total(metrics.RECORDS_APPLIED)
        self._rate.add(applied)
        self._took.add(*_sum_and_count(metrics.APPLY_SECONDS))
        return {"lag": metrics.total(metrics.CONSUMER_LAG), "applied": applied}

    def content(self) -> Content:
        sections = [self._partitions(), *cluster_sections(self._cluster.facts()), recent_troubles()]
        return Content(self._summary(), self._tiles(), sections)

    def _summary(self) -> str:
        partitions = self._runner.read_up_to()
        topics = len({one.topic for one in partitions})
        return f"reads {len(partitions)} partitions of {topics} topics"

    def _tiles(self) -> list[Tile]:
        lag, letters = metrics.total(metrics.CONSUMER_LAG), metrics.total(metrics.DEAD_LETTERS)
        retries = metrics.total(metrics.RETRIES)
        return [
            Tile("Lag", words.short(lag), "records behind the topics", "plain" if lag else "good"),
            Tile("Rate", f"{words.short(self._rate.a_second)}/s", "records applied"),
            Tile("Applied", words.short(metrics.total(metrics.RECORDS_APPLIED)), "since this process began"),
            Tile("A batch takes", words.duration(self._took.now), "of late, on average"),
            Tile("In flight", words.short(self._runner.in_flight), "read, not applied yet"),
            Tile("Dead letters", words.short(letters), f"set aside; {words.short(retries)} retries",
                 "bad" if letters else "plain"),
        ]  # fmt: skip

    def _partitions(self) -> Table:
        found = sorted(self._runner.read_up_to().items())
        rows = [[one.topic, str(one.number), "" if at is None else words.count(at)] for one, at in found]
        note = f"{len(rows)} partitions, of which {_ROWS} are shown." if len(rows) > _ROWS else ""
        return Table("partitions", "Partitions of this process", ("topic", "partition", "read up to"), rows[:_ROWS],
                     "None is assigned.", (1, 2), note)  # fmt: skip


def _sum_and_count(histogram: MetricWrapperBase) -> tuple[float, float]:
    total = count = 0.0
    for found in histogram.collect():
        for one in found.samples:
            total += one.value if one.name.endswith("_sum") else 0.0
            count += one.value if one.name.endswith("_count") else 0.0
    return total, count


class _Mean:
    """The mean of what was observed between two samples; the last that there was, while nothing is observed."""

    def __init__(self) -> None:
        self.now = float("nan")
        self._total = self._count = 0.0

    def add(self, total: float, count: float) -> None:
        if count > self._count:
            self.now = (total - self._total) / (count - self._count)
        self._total, self._count = total, count
