"""
The event store's sink, beside what the client alone can do with the same data, and beside meepo2's way: an event at a
time.

    python -m tests.benchmarks.connectors.event_store [RECORDS]
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from redis import Redis

from meepo2_cdc.records import Action, Source, TableAction
from meepo2_cdc.replay.sink import Context, Sink
from meepo2_connectors.event_store import connector
from meepo2_connectors.event_store.settings import Settings
from tests.benchmarks.connectors.redis_server import batches, own_redis, rates, show, url_of

RECORDS = 100_000
ORIGINAL_RECORDS = 3_000
OURS = "the sink, batches of 500, one thread"

# What meepo2's RedisEventStore.add does for each event of its subscriber, which gives no time: a script that asks for
# the time, then one that keeps the larger score.
_TIME = "return redis.call('TIME')[1]"
_KEEP_LARGER = """
local known = redis.call('ZSCORE', KEYS[1], ARGV[2])
if known and tonumber(known) >= tonumber(ARGV[1]) then return 0 end
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
"""


def records(count: int) -> list[TableAction]:
    """Of two tables and three actions; keys of one integer, and of an integer and a text."""
    begin = datetime.now(UTC)
    actions = (Action.WRITE, Action.UPDATE, Action.DELETE)
    source = Source("db", None, "binlog.000001", 4, 0)
    return [
        TableAction(
            action=actions[n % 3],
            schema="shop",
            table="seat" if n % 2 else "user",
            pk=(n, f"row {n}") if n % 2 else (n,),
            committed_at=begin + timedelta(microseconds=100 * n),
            snapshot=False,
            seq=n,
            source=source,
        )
        for n in range(count)
    ]


def by_the_sink(redis: Redis, all_of: Sequence[TableAction]) -> None:
    own = Settings.model_validate({"url": url_of(redis), "namespace": "bench"})
    sink: Sink = connector.sink(own, Context("bench", source_rows=_no_rows))
    sink.open()
    for batch in batches(all_of):
        sink.apply(batch)
    sink.close()


def _no_rows() -> object:
    raise AssertionError("the event store reads no rows")


def prepared(all_of: Sequence[TableAction]) -> list[dict[str, dict[str, float]]]:
    """For each batch the members and scores of each key, as the client's own zadd takes them."""
    made = []
    for batch in batches(all_of):
        scores: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for one in batch:
            scores[f"bench:{one.qualified_table}_{one.action}"][str(one.pk)] = one.committed_at.timestamp()
        made.append(dict(scores))
    return made


def by_the_client(redis: Redis, made: list[dict[str, dict[str, float]]]) -> None:
    for scores in made:
        with redis.pipeline(transaction=False) as pipeline:
            for key, pairs in scores.items():
                pipeline.zadd(key, pairs, gt=True)  # type: ignore[arg-type]
            pipeline.execute()


def by_the_original(redis: Redis, all_of: Sequence[TableAction]) -> None:
    for one in all_of:
        key = f"meepo2:redis_es:{time.strftime('%Y%m%d')}:{one.table}_{one.action}"
        redis.eval(_KEEP_LARGER, 1, key, redis.eval(_TIME, 1, 1), str(one.pk))  # type: ignore[arg-type]


def main(count: int) -> None:
    everything = records(count)
    made, few = prepared(everything), everything[:ORIGINAL_RECORDS]
    with own_redis() as redis:
        found = rates(redis, {
            OURS: (count, lambda: by_the_sink(redis, everything)),
            "redis-py alone: pipelined ZADD GT of the same, prepared": (count, lambda: by_the_client(redis, made)),
            "meepo2's way: an event at a time, two script calls each": (len(few), lambda: by_the_original(redis, few)),
        })  # fmt: skip
    show(found, OURS)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)
