"""
A capture as its status page and its metrics show it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from meepo2_cdc.capture.progress import Progress
from meepo2_cdc.capture.retention import RetentionWatch
from meepo2_cdc.config import Settings
from meepo2_cdc.kafka.topics import TopicNames
from meepo2_cdc.observe import metrics, words
from meepo2_cdc.observe.cluster import Cluster
from meepo2_cdc.observe.content import Content, Curve, Facts, Table, Tile, Tone
from meepo2_cdc.observe.history import Meter
from meepo2_cdc.observe.redaction import redacted
from meepo2_cdc.observe.sections import cluster_sections, recent_troubles, records_by_table
from meepo2_cdc.observe.vitals import Health
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.snapshot import Snapshot

_LAG_WARNS_SECONDS, _LAG_ALARMS_SECONDS = 10.0, 300.0
_LEFT_WARNS_SECONDS, _LEFT_ALARMS_SECONDS = 86_400.0, 3_600.0
_GTIDS_SHOWN = 400


class CaptureSubject:
    """What is told of a CaptureService; its gauges are answered from here when they are scraped."""

    role: metrics.Role = "capture"
    curves: Sequence[Curve] = (
        Curve("lag", "Lag behind the source", "seconds"),
        Curve("records", "Records to Kafka", "per second"),
    )

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.title = f"{settings.prefix}: capture of {settings.source.name}"
        self._source = settings.source
        self._progress = progress
        self._retention = RetentionWatch(settings.source, lambda: self._progress.checkpoint)
        names = TopicNames(settings.prefix, settings.topics.template)
        self._cluster = Cluster(settings.kafka, names, settings.prefix)
        self._rate = Meter()
        metrics.TABLES.most = settings.capture.metrics_tables
        metrics.SOURCE_LAG.set_function(progress.lag_seconds)
        metrics.SOURCE_BEHIND.set_function(self._retention.behind_bytes)
        metrics.RETENTION_LEFT.set_function(self._retention.left_seconds)
        metrics.CHECKPOINT_AGE.set_function(self._checkpoint_age)
        metrics.QUEUE.set_function(lambda: progress.queued)
        metrics.ACTIVE.set_function(lambda: progress.state == "running")

    def start(self) -> None:
        self._retention.start()
        self._cluster.start()

    def close(self) -> None:
        self._retention.close()
        self._cluster.close()

    def health(self) -> Health:
        return self._progress.health()

    def sample(self) -> Mapping[str, float]:
        records = metrics.total(metrics.RECORDS)
        self._rate.add(records)
        return {"lag": self._progress.lag_seconds(), "records": records}

    def content(self) -> Content:
        sections: list[Facts | Table] = [self._position(), records_by_table(), *cluster_sections(self._cluster.facts())]
        return Content(self._summary(), self._tiles(), [*self._snapshots(), *sections, recent_troubles()])

    def _summary(self) -> str:
        last = self._progress.checkpoint
        at = "" if last is None else f" at {last.file}:{last.position}"
        return f"{self._source_address()}{at}"

    def _tiles(self) -> list[Tile]:
        lag, left = self._progress.lag_seconds(), self._retention.left_seconds()
        return [
            Tile("Lag", words.duration(lag), "behind the source", _lag_tone(lag)),
            Tile("Rate", f"{words.short(self._rate.a_second)}/s", "records to Kafka"),
            Tile("Records", words.short(metrics.total(metrics.RECORDS)), "since this process began"),
            Tile("Retention left", words.duration(left), "before our place is purged", _left_tone(left)),
            Tile("Checkpoint", words.duration(self._checkpoint_age()), "old"),
            Tile("Queue", words.short(self._progress.queued), "records not committed yet"),
        ]

    def _checkpoint_age(self) -> float:
        last = self._progress.checkpoint
        return math.nan if last is None else max(0.0, time.time() - last.written_at.timestamp())

    def _position(self) -> Facts:
        rows = [("source", f"{self._source_address()}, {self._flavor()}")]
        last = self._progress.checkpoint
        if last is not None:
            rows += _place(last)
        kept = self._retention.kept
        if kept is not None and kept.files:
            file, offset = kept.end
            rows.append(("end of the source's log", f"{file}:{offset}"))
            rows.append(("behind it", words.size(self._retention.behind_bytes())))
            rows.append(("the source keeps its log for", words.duration(kept.keep_seconds or math.inf)))
        return Facts("position", "Position", rows)

    def _source_address(self) -> str:
        return str(self._source.address) if self._source.dsn or self._source.dsn_file else "files"

    def _flavor(self) -> str:
        last = self._progress.checkpoint
        return "not known yet" if last is None else last.flavor

    def _snapshots(self) -> list[Table]:
        """What the checkpoint says of snapshots that are under way or done."""
        last = self._progress.checkpoint
        rows = [row for snapshot in (last.snapshots if last is not None else ()) for row in _rows_of(snapshot)]
        columns = ("table", "state", "rows", "of about", "request")
        return [Table("snapshots", "Snapshots", columns, rows, "", (2, 3))] if rows else []


def _rows_of(snapshot: Snapshot) -> list[list[str]]:
    """What is read now, what waits and what is over."""
    rows = []
    if snapshot.current is not None:
        now = snapshot.current
        expected = "" if now.rows_expected is None else words.count(now.rows_expected)
        state = "paused" if snapshot.paused else "is read"
        rows.append([str(now.name), state, words.count(now.rows), expected, snapshot.id])
    rows += [[str(one), "waits", "", "", snapshot.id] for one in snapshot.waiting]
    for one in snapshot.ended:
        state = one.outcome.value + (f": {redacted(one.why)}" if one.why else "")
        rows.append([str(one.name), state, words.count(one.rows), "", snapshot.id])
    return rows


def _place(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    gtids = checkpoint.gtid_set or "none"
    rows = [
        ("committed up to", f"{checkpoint.file}:{checkpoint.position}"),
        ("global ids", gtids if len(gtids) <= _GTIDS_SHOWN else f"{gtids[:_GTIDS_SHOWN]}…"),
        ("seq", str(checkpoint.seq)),
    ]
    if checkpoint.rows_done:
        rows.append(("rows of the transaction there", str(checkpoint.rows_done)))
    if checkpoint.undecided is not None:
        rows.append(("undecided XA transaction since", f"{checkpoint.undecided.file}:{checkpoint.undecided.position}"))
    if checkpoint.committed_at is not None:
        rows.append(("last change at the source", _time(checkpoint.committed_at)))
    return [*rows, ("checkpoint written", _time(checkpoint.written_at)), ("written by", checkpoint.written_by)]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _lag_tone(seconds: float) -> Tone:
    if math.isnan(seconds):
        return "plain"
    return "bad" if seconds > _LAG_ALARMS_SECONDS else "warn" if seconds > _LAG_WARNS_SECONDS else "good"


def _left_tone(seconds: float) -> Tone:
    if math.isnan(seconds):
        return "plain"
    return "bad" if seconds < _LEFT_ALARMS_SECONDS else "warn" if seconds < _LEFT_WARNS_SECONDS else "plain"
