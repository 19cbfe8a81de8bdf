"""
Transactions in doubt, as Redis holds them between their flush and their publication.

    <namespace>:session:prepared         sorted set: transaction ids, by the time of their first flush (unix seconds)
    <namespace>:session:prepared:<id>    JSON: what the transaction changed so far, its first seq, its times in UTC
    <namespace>:session:seq              the last seq that was given

No name holds a day, so that what was prepared yesterday is listed today.  `seq` is Redis's clock in microseconds, or
one above the last: numbers are given while the rows are locked, so they are in the order of the changes of a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.capture.session.outbox import changes_in, text_of
from meepo2_cdc.capture.session.phases import Event, event_of

# KEYS: the set, the transaction, the counter.  ARGV: id, number of new changes, text of all, unix seconds.
_PREPARE = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
if last < now then last = now end
redis.call('SET', KEYS[3], string.format('%.0f', last + ARGV[2]))
redis.call('ZADD', KEYS[1], 'NX', ARGV[4], ARGV[1])
redis.call('HSET', KEYS[2], 'changes', ARGV[3], 'first_seq', string.format('%.0f', last + 1))
redis.call('HSETNX', KEYS[2], 'prepared_at', ARGV[4])
return string.format('%.0f', last + 1)
"""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A transaction of which Redis knows that it was flushed, and not what became of it."""

    id: str
    prepared_at: datetime
    first_seq: int
    changes: tuple[Change, ...]


class Doubts:
    """What is in doubt, in one Redis.  Raises redis.RedisError within the timeout where nobody answers."""

    def __init__(self, url: str, namespace: str, timeout_seconds: float) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),  # what is to be repeated is decided here
            decode_responses=True,
        )
        self._set = f"{namespace}:session:prepared"
        self._seq = f"{namespace}:session:seq"
        self._script = self._redis.register_script(_PREPARE)

    def prepare(self, transaction: str, changes: Iterable[Change]) -> int:
        """Records all that the transaction changed so far; the seq of the first change."""
        every = list(changes)
        arguments: list[str | int | float] = [transaction, len(every), text_of(every), datetime.now(UTC).timestamp()]
        first = self._script(keys=[self._set, self._name(transaction), self._seq], args=arguments)
        return int(cast(str, first))

    def clear(self, transaction: str) -> None:
        """It is settled: published, or rolled back."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zrem(self._set, transaction)
            pipe.delete(self._name(transaction))
            pipe.execute()

    def ids(self, before: datetime | None = None) -> list[str]:
        """All that are in doubt, oldest first."""
        most: Any = "+inf" if before is None else before.timestamp()
        return [str(one) for one in cast(list[Any], self._redis.zrangebyscore(self._set, "-inf", most))]

    def get(self, transaction: str) -> Doubt | None:
        found = cast(dict[str, str], self._redis.hgetall(self._name(transaction)))
        if not found:
            return None
        at = datetime.fromtimestamp(float(found["prepared_at"]), UTC)
        return Doubt(transaction, at, int(found["first_seq"]), tuple(changes_in(found["changes"])))

    def listing(self) -> dict[str, Event]:
        """Keys by `table_action`, by transaction: what a person asks for."""
        found = [self.get(one) for one in self.ids()]
        return {one.id: event_of(one.changes) for one in found if one is not None}

    def close(self) -> None:
        self._redis.close()

    def _name(self, transaction: str) -> str:
        return f"{self._set}:{transaction}"


def told(doubt: Doubt) -> str:
    """One line of JSON for a terminal or a program."""
    event = {name: sorted(map(str, keys)) for name, keys in event_of(doubt.changes).items()}
    return json.dumps({"transaction": doubt.id, "prepared_at": doubt.prepared_at.isoformat(), "changes": event})
