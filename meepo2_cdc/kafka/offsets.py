"""
Which offsets partitions hold, and which of them a time stands for.

Ends are last stable offsets: what lies beyond may still be aborted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import stamina
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import (
    OffsetSpec,
)  # confluent_kafka.admin has it, but not in its hints

from meepo2_cdc.kafka.clients import ANSWER_SECONDS, REQUEST_SECONDS

SETTLE_SECONDS = 2.0
_SETTLE_POLL_SECONDS = 0.01
_UNDECIDED_POLL_SECONDS = 0.2
_PASSING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._NOENT,  # "no leaders found"
)


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class Extent(NamedTuple):
    """Offsets from `begin` up to and without `end`; some hold no record (markers, aborted, compacted)."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{self.begin} to {self.end}"


def extents(admin: AdminClient, partitions: Iterable[Partition]) -> dict[Partition, Extent]:
    """
    What can be read of each partition, by a reader of committed records.

    A commit returns some milliseconds before its markers reach the partitions, so transactions that are open now are
    waited for, but not longer than `SETTLE_SECONDS`.
    """
    wanted = list(partitions)
    begins = _offsets(admin, wanted, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # not in its hints
    highs = _ends(admin, wanted, IsolationLevel.READ_UNCOMMITTED)
    stable = _ends(admin, wanted, IsolationLevel.READ_COMMITTED)
    deadline = time.monotonic() + SETTLE_SECONDS
    while any(stable[one] < highs[one] for one in wanted) and time.monotonic() < deadline:
        time.sleep(_SETTLE_POLL_SECONDS)
        stable = _ends(admin, wanted, IsolationLevel.READ_COMMITTED)
    return {one: Extent(begins[one], min(stable[one], highs[one])) for one in wanted}


def extents_now(admin: AdminClient, partitions: Iterable[Partition]) -> dict[Partition, Extent]:
    """The same without waiting for anything: for somebody who looks again soon."""
    wanted = list(partitions)
    begins = _offsets(admin, wanted, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # not in its hints
    ends = _ends(admin, wanted, IsolationLevel.READ_COMMITTED)
    return {one: Extent(begins[one], ends[one]) for one in wanted}


def undecided(admin: AdminClient, partitions: Iterable[Partition], seconds: float) -> dict[Partition, int]:
    """
    Partitions in which a transaction is open now and still is `seconds` later, and the offset where it begins.

    Others may begin new ones meanwhile; those do not count.
    """
    wanted = list(partitions)
    highs = _ends(admin, wanted, IsolationLevel.READ_UNCOMMITTED)
    deadline = time.monotonic() + seconds
    while True:
        stable = _ends(admin, wanted, IsolationLevel.READ_COMMITTED)
        found = {one: stable[one] for one in wanted if stable[one] < highs[one]}
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(_UNDECIDED_POLL_SECONDS)


def _ends(admin: AdminClient, partitions: list[Partition], isolation: IsolationLevel) -> dict[Partition, int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # not in its hints
    return _offsets(admin, partitions, latest, isolation)


def first_at(admin: AdminClient, within: dict[Partition, Extent], moment: datetime) -> dict[Partition, int]:
    """The first offset with a record of that millisecond or later; the partition's end where none is."""
    since_epoch = moment - datetime.fromtimestamp(0, moment.tzinfo)
    milliseconds = since_epoch // timedelta(milliseconds=1)  # Kafka's own resolution
    found = _offsets(admin, list(within), OffsetSpec.for_timestamp(milliseconds))
    return {
        one: min(max(found[one], extent.begin), extent.end) if found[one] >= 0 else extent.end
        for one, extent in within.items()
    }


def _may_pass(error: Exception) -> bool:
    """A partition that was just made, or whose leader changes, has an answer a moment later."""
    return isinstance(error, KafkaException) and error.args[0].code() in _PASSING


@stamina.retry(on=_may_pass, attempts=None, timeout=ANSWER_SECONDS, wait_initial=0.02, wait_max=0.5)
def _offsets(
    admin: AdminClient,
    partitions: list[Partition],
    spec: OffsetSpec,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[Partition, int]:
    if not partitions:
        return {}
    answers = admin.list_offsets(
        {TopicPartition(one.topic, one.number): spec for one in partitions},
        isolation_level=isolation,
        request_timeout=REQUEST_SECONDS,
    )
    try:
        return {Partition(one.topic, one.partition): answer.result().offset for one, answer in answers.items()}
    except KafkaException as error:
        if _may_pass(error):
            admin.list_topics(timeout=REQUEST_SECONDS)  # it would ask with the leader epoch that it knows for ever
        raise
