"""
What Kafka has of a prefix: its topics, who reads them and how far, and what was set aside.

Asked by a thread of its own, and only while somebody looks, so that nobody pays for a page that is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.kafka.dead_letters import DeadLetter, DeadLetters
from meepo2_cdc.kafka.offsets import Extent, Partition, extents_now
from meepo2_cdc.kafka.topics import TopicNames, partition_counts

log = structlog.get_logger()
T = TypeVar("T")

EVERY_SECONDS = 10.0
_LOOKED_AT_SECONDS = 60.0
_REQUEST_SECONDS = 10.0
_GROUPS = 50
_LETTERS_READ = 5000
_DEAD = ".dead-letters"


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """`records` counts offsets: the ends of transactions are among them, and what was removed by compaction."""

    name: str
    partitions: int
    records: int


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A consumer group that has positions in data topics of the prefix."""

    name: str
    state: str
    members: int
    topics: int
    lag: int


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """The dead letters of a connector; `waiting` is None where there are too many to be read."""

    connector: str
    waiting: int | None
    last: DeadLetter | None


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """`troubles` says what Kafka would not tell, and why."""

    topics: Sequence[TopicFacts] = ()
    groups: Sequence[GroupFacts] = ()
    letters: Sequence[LetterFacts] = ()
    troubles: Sequence[str] = ()
    asked_at: float | None = None


@dataclass(slots=True)
class _Look:
    """One round of questions."""

    there: Mapping[str, int]
    data: Mapping[Partition, Extent]
    troubles: list[str] = field(default_factory=list)


class Cluster:
    """`facts` are the last answers, and make further questions be asked for a minute."""

    def __init__(self, kafka: Mapping[str, str], names: TopicNames, prefix: str) -> None:
        self._kafka = kafka
        self._names = names
        self._prefix = prefix
        self._facts = ClusterFacts()
        self._looked_at = -_LOOKED_AT_SECONDS
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._letters: dict[str, tuple[Extent, LetterFacts]] = {}
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._wanted.set()

    def facts(self) -> ClusterFacts:
        self._looked_at = time.monotonic()
        self._wanted.set()
        return self._facts

    def _run(self) -> None:
        admin: AdminClient | None = None
        while self._wanted.wait() and not self._closing.is_set():
            if time.monotonic() - self._looked_at > _LOOKED_AT_SECONDS:
                self._wanted.clear()
                admin = None  # its connections, too, are needed only while somebody looks
                continue
            try:
                admin = admin or AdminClient(quiet(self._kafka))
                self._facts = self._asked(admin)
            except KafkaException as error:
                self._facts = ClusterFacts(troubles=[f"Kafka does not answer: {error.args[0].str()}"])
            except Exception as error:
                log.warning("Kafka could not be asked for the status page", exc_info=True)
                self._facts = ClusterFacts(troubles=[f"{type(error).__name__}: {error}"])
            self._closing.wait(EVERY_SECONDS)

    def _asked(self, admin: AdminClient) -> ClusterFacts:
        there = partition_counts(admin)
        data = [name for name in sorted(there) if self._names.is_data_topic(name)]
        look = _Look(there, extents_now(admin, [Partition(one, n) for one in data for n in range(there[one])]))
        topics = [self._topic(look, name) for name in data]
        groups = _told(look, "its consumer groups", lambda: self._groups(admin, look))
        letters = _told(look, "the dead letters", lambda: self._dead_letters(admin, look))
        return ClusterFacts(topics, groups, letters, look.troubles, time.time())

    @staticmethod
    def _topic(look: _Look, name: str) -> TopicFacts:
        extents = [look.data[Partition(name, n)] for n in range(look.there[name])]
        return TopicFacts(name, look.there[name], sum(one.end - one.begin for one in extents))

    # -- who reads

    def _groups(self, admin: AdminClient, look: _Look) -> list[GroupFacts]:
        listed = admin.list_consumer_groups(request_timeout=_REQUEST_SECONDS).result(_REQUEST_SECONDS).valid
        ours = f"{self._prefix}."
        names = sorted((one.group_id for one in listed), key=lambda name: (not name.startswith(ours), name))
        names = [one for one in names if not one.startswith((f"{ours}lock.", "meepo2-cdc.none"))]
        if len(names) > _GROUPS:
            look.troubles.append(f"Kafka has {len(names)} consumer groups, of which {_GROUPS} were looked at")
        found = {name: self._lag(admin, look, name) for name in names[:_GROUPS]}
        reading = {name: lag for name, lag in found.items() if lag is not None}
        if not reading:
            return []
        described = admin.describe_consumer_groups(list(reading), request_timeout=_REQUEST_SECONDS)
        return [self._group(name, *reading[name], described[name].result(_REQUEST_SECONDS)) for name in sorted(reading)]

    @staticmethod
    def _group(name: str, topics: int, lag: int, told: object) -> GroupFacts:
        state = getattr(told, "state", None)
        members = getattr(told, "members", ())
        return GroupFacts(name, state.name.lower().replace("_", " ") if state else "unknown", len(members), topics, lag)

    @staticmethod
    def _lag(admin: AdminClient, look: _Look, name: str) -> tuple[int, int] | None:
        """Topics and lag; None for a group that reads none of ours."""
        asked = [ConsumerGroupTopicPartitions(name)]
        told = admin.list_consumer_group_offsets(asked, request_timeout=_REQUEST_SECONDS)[name]
        lag, topics = 0, set()
        for one in told.result(_REQUEST_SECONDS).topic_partitions or []:
            extent = look.data.get(Partition(one.topic, one.partition))
            if extent is not None and one.offset >= 0:
                topics.add(one.topic)
                lag += max(0, extent.end - one.offset)
        return (len(topics), lag) if topics else None

    # -- what was set aside

    def _dead_letters(self, admin: AdminClient, look: _Look) -> list[LetterFacts]:
        ours = f"{self._prefix}."
        topics = [name for name in sorted(look.there) if name.startswith(ours) and name.endswith(_DEAD)]
        extents = extents_now(admin, [Partition(name, 0) for name in topics])
        return [self._letters_in(name, extents[Partition(name, 0)]) for name in topics]

    def _letters_in(self, topic: str, extent: Extent) -> LetterFacts:
        """Read again only when the topic has grown."""
        known = self._letters.get(topic)
        if known is None or known[0] != extent:
            known = self._letters[topic] = extent, self._read_letters(topic, extent)
        return known[1]

    def _read_letters(self, topic: str, extent: Extent) -> LetterFacts:
        connector = topic.removeprefix(f"{self._prefix}.").removesuffix(_DEAD)
        if extent.end - extent.begin > _LETTERS_READ:
            return LetterFacts(connector, None, None)
        waiting = DeadLetters(self._kafka, topic, connector).waiting()
        return LetterFacts(connector, len(waiting), waiting[-1] if waiting else None)


def _told(look: _Look, what: str, ask: Callable[[], list[T]]) -> list[T]:
    """What Kafka refuses (by ACLs, say) leaves the rest of the page as it is."""
    try:
        return ask()
    except KafkaException as error:
        look.troubles.append(f"Kafka would not tell {what}: {error.args[0].str()}")
        return []
