"""
Messages for a consumer group: its members share the partitions of the topics, and their positions live in Kafka.

Reads committed records only.  Knows nothing of what is in a message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol

import stamina
import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from meepo2_cdc.errors import Error, PositionLost
from meepo2_cdc.kafka.clients import REQUEST_SECONDS, is_final, quiet, read_some
from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.kafka.topic_ids import belongs, mark, topic_ids
from meepo2_cdc.kafka.topics import partition_counts
from meepo2_cdc.observe import metrics

log = structlog.get_logger()

TOPICS_SECONDS = 5.0
"""Interval at which new topics and partitions are looked for, and how long an answer is waited for."""

_OURS: dict[str, Any] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # a position that is gone must not be passed over in silence
    "enable.partition.eof": True,
    "fetch.queue.backoff.ms": 10,  # 1000 by default: a full queue would then stand still for a second
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 32_768,
}
_DEFAULTS: dict[str, Any] = {"topic.metadata.refresh.interval.ms": int(TOPICS_SECONDS * 1000)}  # tells new partitions
_STRATEGY = {"partition.assignment.strategy": "cooperative-sticky"}  # who keeps partitions goes on with them meanwhile
_SESSION: dict[str, Any] = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 1_000}
"""Not allowed in the newer group protocol, where the broker sets them."""


def _may_pass(error: Exception) -> bool:
    return isinstance(error, KafkaException) and not is_final(error.args[0])


class Claims(Protocol):
    """Who hears which partitions this member has."""

    def assigned(self, partitions: Iterable[Partition]) -> None: ...

    def revoked(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]: ...

    def lost(self, partitions: Iterable[Partition]) -> None: ...


class GroupFeed:
    """
    A member of the group.

    `topics` is asked now and then, as tables come and go; a topic that the group has not read before, or that was made
    anew, is read from its beginning.  Raises PositionLost where the group's position was removed from a topic, Error
    where one that is being read was made anew.
    """

    def __init__(
        self, kafka: Mapping[str, str], group: str, topics: Callable[[], Sequence[str]], admin: AdminClient
    ) -> None:
        self._group = group
        self._topics = topics
        self._admin = admin
        options = _DEFAULTS | quiet(kafka) | _OURS | {"group.id": group, "on_commit": _committed}
        if options.get("group.protocol", "classic") == "classic":
            options = _SESSION | options | _STRATEGY
        self._consumer = Consumer(options)
        self._claims: Claims | None = None
        self._subscribed: list[str] | None = None
        self._looked_at = 0.0
        self._ends: list[tuple[Partition, int]] = []
        self._paused: list[TopicPartition] = []
        self._closing = False
        self._ids: dict[Partition, str | None] = {}
        """Which topic each partition is of that is ours."""

    ended = False
    standing: Literal["reading", "joining", "waiting"] = "joining"

    def open(self, claims: Claims) -> None:
        self._claims = claims
        self._look_for_topics()

    def read(self, most: int, seconds: float) -> list[Message]:
        if self._paused:
            self._consumer.resume([one for one in self._paused if one in self._consumer.assignment()])
            self._paused = []
        if time.monotonic() - self._looked_at > TOPICS_SECONDS:
            self._look_for_topics()
        messages = read_some(self._consumer, most, seconds)
        troubles = [(one, error) for one in messages if (error := one.error()) is not None]
        if not troubles:
            return messages
        for one, error in troubles:
            self._hear(one, error)
        return [one for one in messages if one.error() is None]

    def idle(self) -> None:
        self._paused = self._consumer.assignment()
        self._consumer.pause(self._paused)
        for message in read_some(self._consumer, 1, 0):
            if (error := message.error()) is not None:
                self._hear(message, error)
            else:  # it was on its way before the pause: read it again
                self._consumer.seek(TopicPartition(message.topic(), message.partition(), message.offset()))

    def ends(self) -> list[tuple[Partition, int]]:
        found, self._ends = self._ends, []
        return found

    def commit(self, positions: Mapping[Partition, int], *, wait: bool) -> None:
        if not positions:
            return
        offsets = [TopicPartition(*one, position, mark(self._ids.get(one))) for one, position in positions.items()]
        try:
            if wait:
                for one in self._consumer.commit(offsets=offsets, asynchronous=False):
                    _committed(one.error, [])
            else:
                self._consumer.commit(offsets=offsets)
        except KafkaException as error:
            _committed(error.args[0], [])
        self._measure(positions)

    def close(self) -> None:
        """Leaves the group, so that the others need not wait for the session to end."""
        self._closing = True
        self._consumer.close()

    def _look_for_topics(self) -> None:
        try:
            topics = sorted(self._topics())
            self._require_the_same_topics()
        except KafkaException as error:
            if is_final(error.args[0]):
                raise
            log.warning("The topics could not be listed", group=self._group, why=error.args[0].str())
        else:
            self._subscribe(topics)
        self._looked_at = time.monotonic()

    def _require_the_same_topics(self) -> None:
        now = topic_ids(self._admin, {one.topic for one in self._ids}, TOPICS_SECONDS) if self._ids else {}
        for one, known in self._ids.items():
            if now.get(one.topic, known) != known:
                raise Error(
                    f"the topic {one.topic} was deleted and made anew while the group {self._group} read it",
                    fix="Start again: the new one is read from its beginning.",
                )

    def _subscribe(self, topics: list[str]) -> None:
        if topics == self._subscribed:
            return
        if not topics:
            log.warning("There is no topic to read yet", group=self._group)
        elif self._subscribed is not None:
            log.info("The topics changed", group=self._group, topics=len(topics))
        self._subscribed = topics
        if not topics:
            self.standing = "waiting"
        elif self.standing == "waiting":
            self.standing = "joining"
        if topics:
            self._consumer.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._closing:  # no coordinator is asked any more, so its answer would be waited for in vain
            consumer.incremental_assign(partitions)
            return
        known = self._begins(consumer, partitions) if partitions else []
        ours = [Partition(one.topic, one.partition) for one in partitions]
        self._claiming.assigned(ours)
        self.standing = "reading"
        consumer.incremental_assign(known)
        log.info("Partitions were assigned", group=self._group, partitions=[str(one) for one in ours])

    @stamina.retry(on=_may_pass, attempts=None, timeout=2 * REQUEST_SECONDS, wait_max=1.0)
    def _begins(self, consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where the group is in the partitions; at the beginning where it was not yet."""
        known = consumer.committed(partitions, timeout=REQUEST_SECONDS)
        ids = topic_ids(self._admin, {one.topic for one in partitions}, REQUEST_SECONDS)
        for one in known:
            if one.error is not None:
                raise KafkaException(one.error)
            at = Partition(one.topic, one.partition)
            self._ids[at] = ids.get(one.topic)
            anew = one.offset >= 0 and not belongs(one.metadata, ids.get(one.topic))
            if anew:
                log.warning(
                    "A topic was made anew and is read from its beginning", group=self._group, partition=str(at)
                )
            if anew or one.offset < 0:
                one.offset = OFFSET_BEGINNING
        return known

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        going = [Partition(one.topic, one.partition) for one in partitions]
        self.commit(self._claiming.revoked(going), wait=True)
        self._forget(going)
        consumer.incremental_unassign(partitions)
        log.info("Partitions were given up", group=self._group, partitions=[str(one) for one in going])

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = [Partition(one.topic, one.partition) for one in partitions]
        self._claiming.lost(gone)
        self.standing = "joining"
        self._forget(gone)
        log.warning("Partitions were lost", group=self._group, partitions=[str(one) for one in gone])

    def _forget(self, gone: list[Partition]) -> None:
        """Ends that were met belong to the time before: what is ours again later may begin in front of them."""
        self._ends = [end for end in self._ends if end[0] not in gone]
        for one in gone:
            self._ids.pop(one, None)

    def _hear(self, message: Message, error: KafkaError) -> None:
        """An event in the stream of messages."""
        at = Partition(message.topic(), message.partition())
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends.append((at, message.offset()))
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._require_the_same_topics()
            raise PositionLost(
                f"the group {self._group} stands at an offset that {at} does not hold: {error.str()}",
                fix="Records were removed (retention) before they were read.  Bring the target up to date with\n"
                "`meepo2-cdc replay CONNECTOR --from-offset earliest`, and move the group with\n"
                f"kafka-consumer-groups --group {self._group} --reset-offsets --to-earliest --execute.",
            )
        elif error.code() in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART):
            self._looked_at = 0.0  # it was deleted: the next look leaves it out
        elif is_final(error):
            raise KafkaException(error)
        else:
            log.warning("The group reported an error", group=self._group, why=error.str())

    def _measure(self, positions: Mapping[Partition, int]) -> None:
        lag = 0
        for one, position in positions.items():
            with suppress(KafkaException):  # of a topic that was deleted
                _, end = self._consumer.get_watermark_offsets(TopicPartition(*one), cached=True)
                lag += max(0, end - position)
        metrics.CONSUMER_LAG.set(lag)

    @property
    def _claiming(self) -> Claims:
        if self._claims is None:
            raise RuntimeError("a feed is opened before it calls back")
        return self._claims


def begin_at_ends(admin: AdminClient, group: str, topics: Sequence[str]) -> None:
    """Commits the topics' ends for a group that has no offsets yet; one that has some keeps them."""
    known = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(REQUEST_SECONDS)
    if known.topic_partitions:
        return
    counts = partition_counts(admin, topics)
    ends = extents(admin, [Partition(topic, n) for topic, count in counts.items() for n in range(count)])
    offsets = [TopicPartition(*one, extent.end) for one, extent in ends.items()]
    if offsets:
        admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)])[group].result(
            REQUEST_SECONDS
        )


def _committed(error: KafkaError | None, _: list[TopicPartition]) -> None:
    if error is not None:  # the next commit says the same and more; what was not committed is read again
        log.warning("Offsets were not committed", why=error.str())
