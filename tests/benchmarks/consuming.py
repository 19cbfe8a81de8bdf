"""
How fast records are consumed: `python -m tests.benchmarks.consuming [--records N]`.

Prints records a second and a CPU second of the runner with a sink that does nothing, of `replay`'s reader, and beside
them the limit: librdkafka's consumer and our decoder, and nothing else.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from meepo2_cdc.kafka.group import GroupFeed
from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.kafka.ranges import RangeFeed
from meepo2_cdc.kafka.reader import RangeReader
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder
from meepo2_cdc.replay.build import collect_seldom
from meepo2_cdc.replay.lanes import Route
from meepo2_cdc.replay.runner import Runner
from tests.kafka import Topics, record
from tests.services import addresses

FLOOR = 150_000
PARTITIONS = 4
_BATCH = 50_000


class Rate(NamedTuple):
    """Records by the clock, and by the processor's."""

    per_second: float
    per_cpu_second: float

    def __str__(self) -> str:
        return f"{self.per_second:>10,.0f} records/s {self.per_cpu_second:>10,.0f} records/CPU s"


class Nothing:
    """A sink that forgets what it was given, and stops the runner after the last."""

    def __init__(self, total: int) -> None:
        self._left = total
        self.enough: Callable[[], None] = lambda: None

    def open(self) -> None: ...

    def apply(self, batch: Sequence[TableAction]) -> None:
        self._left -= len(batch)
        if self._left == 0:
            self.enough()

    def close(self) -> None: ...


class Nowhere:
    """Nothing may be set aside here."""

    def put(self, message: Message, why: str, error: BaseException, tries: int) -> None:
        raise error


def main() -> None:
    collect_seldom()  # as `meepo2-cdc run` and `replay` do
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=1_000_000)
    arguments.add_argument("--workers", type=int, default=1, help="lanes of the runner; a count needs one")
    given = arguments.parse_args()
    kafka = addresses.address("kafka")
    if kafka is None:
        sys.exit("no kafka: run `python -m tests.services up kafka`")
    topics = Topics(kafka)
    topic = topics.create(f"bench{uuid.uuid4().hex[:8]}.shop.orders", PARTITIONS)
    _fill(topics, topic, given.records)
    measured = {
        "the limit: consume and decode": _measured(given.records, lambda: _limit(kafka, topic, given.records)),
        "runner, a group": _measured(given.records, lambda: _group(topics, topic, given.records)),
        "runner, ranges": _measured(given.records, lambda: _ranges(topics, topic, given.records)),
        "replay's reader, merged by seq": _measured(given.records, lambda: _merged(topics, topic)),
    }
    for name, rate in measured.items():
        print(f"{name:32} {rate}", flush=True)
    runner = measured["runner, a group"]
    print(f"floor {FLOOR:,}: {'reached' if max(runner) >= FLOOR else 'MISSED'}")
    topics.admin.delete_topics([topic])[topic].result(30)


def _fill(topics: Topics, topic: str, count: int) -> None:
    for begin in range(0, count, _BATCH):
        seqs = range(begin, min(count, begin + _BATCH))
        topics.put(topic, [(seq % PARTITIONS, record(seq, pk=(seq % 100_000,))) for seq in seqs])


def _measured(count: int, work: Callable[[], None]) -> Rate:
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return Rate(count / (time.perf_counter() - clock), count / (time.process_time() - cpu))


def _limit(kafka: str, topic: str, count: int) -> None:
    decode = ActionDecoder().action
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "none", "fetch.queue.backoff.ms": 10})
    consumer.assign([TopicPartition(topic, n, 0) for n in range(PARTITIONS)])
    while count > 0:
        for message in consumer.consume(1000, 0.1):
            decode(message.value() or b"")
            count -= 1
    consumer.close()


def _group(topics: Topics, topic: str, count: int) -> None:
    kafka = {"bootstrap.servers": topics.address}
    _run(GroupFeed(kafka, f"bench-{uuid.uuid4().hex}", lambda: [topic], topics.admin), count)


def _ranges(topics: Topics, topic: str, count: int) -> None:
    ranges = extents(topics.admin, [Partition(topic, n) for n in range(PARTITIONS)])
    _run(RangeFeed({"bootstrap.servers": topics.address}, ranges), count)


def _run(feed: GroupFeed | RangeFeed, count: int) -> None:
    sink = Nothing(count)
    runner = Runner(feed, [Route("nothing", sink, lambda record: True, workers=1)], ActionDecoder().action, Nowhere())
    sink.enough = runner.stop
    runner.run()


def _merged(topics: Topics, topic: str) -> None:
    ranges = extents(topics.admin, [Partition(topic, n) for n in range(PARTITIONS)])
    for _ in RangeReader({"bootstrap.servers": topics.address}, ranges, ActionDecoder()):
        pass


if __name__ == "__main__":
    main()
