"""
How far the changes of the source are on their way to a connector's target.

Three stages, each later than the one before: the capture's checkpoint has passed the end of the source's log; the data
topics have the records; the connector's group has committed offsets behind them, which it does only when the target
has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from meepo2_cdc.config import Settings
from meepo2_cdc.kafka.checkpoints import CheckpointTail, read_checkpoint
from meepo2_cdc.kafka.clients import REQUEST_SECONDS, connect
from meepo2_cdc.kafka.offsets import Extent, Partition, extents
from meepo2_cdc.kafka.ranges import messages_in
from meepo2_cdc.kafka.topics import TopicNames, partition_counts
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition, gtid_set
from meepo2_cdc.replay.rows import LogEnd
from meepo2_cdc.replay.selection import topics_of

_LOOK_SECONDS = 0.3


class Source(Protocol):
    """What is needed of `SourceRows`."""

    def log_end(self) -> LogEnd: ...


class KafkaPipeline:
    """From the source by its capture to the connector whose group is named."""

    def __init__(self, settings: Settings, group: str, source: Source) -> None:
        self._settings = settings
        self._group = group
        self._source = source
        self._names = TopicNames(settings.prefix, settings.topics.template)
        self._admin = connect(settings.kafka)
        topic = self._names.checkpoint_topic(settings.source.name)
        self._checkpoints = CheckpointTail(settings.kafka, topic, settings.source.name)

    def __enter__(self) -> KafkaPipeline:
        return self

    def __exit__(self, *given: object) -> None:
        self._checkpoints.__exit__(*given)

    def mark(self) -> Callable[[], bool]:
        return _Mark(self._source.log_end(), self._captured, self._ends, self._applied).passed

    def _captured(self, end: LogEnd) -> bool:
        return self._checkpoints.wait(lambda found: covers(found, end), _LOOK_SECONDS) is not None

    def _ends(self) -> Mapping[Partition, int]:
        counts = partition_counts(self._admin)
        wanted = [Partition(topic, n) for topic in self._topics(list(counts)) for n in range(counts[topic])]
        return {one: extent.end for one, extent in extents(self._admin, wanted).items() if extent.end > extent.begin}

    def _topics(self, there: Sequence[str]) -> list[str]:
        globs = [glob for glob in self._settings.tables if not glob.startswith("!")]
        template = self._settings.topics.template.replace("{prefix}", self._settings.prefix)
        return topics_of(filter(self._names.is_data_topic, there), globs, template)

    def _applied(self, ends: Mapping[Partition, int]) -> dict[Partition, int]:
        """Those ends that the group has not reached."""
        committed = committed_offsets(self._admin, self._group)
        open_ = {one: Extent(committed.get(one, 0), end) for one, end in ends.items() if committed.get(one, 0) < end}
        begins = extents(self._admin, open_)
        open_ = {one: Extent(max(begins[one].begin, extent.begin), extent.end) for one, extent in open_.items()}
        waiting = {Partition(one.topic(), one.partition()) for one in messages_in(self._settings.kafka, open_)}
        return {one: ends[one] for one in waiting}


def last_seq(settings: Settings) -> int:
    """Of the last checkpoint; 0 where no capture ever ran."""
    names = TopicNames(settings.prefix, settings.topics.template)
    found = read_checkpoint(settings.kafka, names.checkpoint_topic(settings.source.name), settings.source.name)
    return 0 if found is None else found.seq


class _Mark:
    """Each stage is asked until it is passed; later ones cannot be passed before."""

    def __init__(
        self,
        end: LogEnd,
        captured: Callable[[LogEnd], bool],
        ends: Callable[[], Mapping[Partition, int]],
        applied: Callable[[Mapping[Partition, int]], Mapping[Partition, int]],
    ) -> None:
        self._end = end
        self._captured = captured
        self._find_ends = ends
        self._applied = applied
        self._open: Mapping[Partition, int] | None = None

    def passed(self) -> bool:
        if self._open is None:
            if not self._captured(self._end):
                return False
            self._open = self._find_ends()
        self._open = self._applied(self._open) if self._open else {}
        return not self._open


def covers(found: Checkpoint, end: LogEnd) -> bool:
    """By the ids where both have some, which hold for other servers of the same data too; else by file and offset."""
    if end.gtids and found.gtid_set and found.flavor == end.flavor:
        return gtid_set(end.flavor, end.gtids).is_within(gtid_set(end.flavor, found.gtid_set))
    return LogPosition(found.file, found.position).order >= end.at.order


def committed_offsets(admin: AdminClient, group: str) -> dict[Partition, int]:
    """Where the group goes on, by partition; of those where it has committed something."""
    asked = [ConsumerGroupTopicPartitions(group)]
    told = admin.list_consumer_group_offsets(asked, request_timeout=REQUEST_SECONDS)[group]
    found = told.result(REQUEST_SECONDS).topic_partitions or []
    return {Partition(one.topic, one.partition): one.offset for one in found if one.offset >= 0}
