"""
The event store: for each event, when each key last had it.

An event is a sorted set `<namespace>:<event>`, its members are keys and its scores times, in seconds since 1970 as a
double, which tells microseconds apart.  The larger score wins, so that it does not matter how often and in what order
records come.  Knows nothing of Kafka and of connectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self, overload

from meepo2_cdc.records import KeyPart
from meepo2_connectors.event_store.members import Pk, member, pk_of
from meepo2_connectors.event_store.namespaces import Namespace, at, between
from meepo2_connectors.redis_target import answers, connect

RETENTION_SECONDS = 3 * 24 * 3600
TIMEOUT_SECONDS = 5.0
MOST_AT_ONCE = 1000
"""Keys in one call of the script: Redis does nothing else meanwhile, and Lua's stack has 8,000 places."""
_DAY = 24 * 3600

When = float | datetime
"""Seconds since 1970, or a datetime with its zone."""

# KEYS[1] an event; ARGV the retention in seconds ("" for ever), then times and members in turn.  The time is the
# server's own: all clients have the same.  Returns the time that the last member has now.
_ADD = """
redis.call('ZADD', KEYS[1], 'GT', unpack(ARGV, 2))
local retention = tonumber(ARGV[1])
if retention then
  local now = redis.call('TIME')
  local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
  local oldest = now[1] + now[2] / 1e6 - retention
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.17g', oldest))
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.ceil((newest + retention) * 1000)))
else
  redis.call('PERSIST', KEYS[1])
end
return redis.call('ZSCORE', KEYS[1], ARGV[#ARGV])
"""


class EventStore:
    """
    Which keys had an event, since when.

    What is older than `retention` (seconds, a timedelta, or None for ever) is not told any more, is removed at the
    next `add` of its event, and goes by itself where there is none.  One object serves any number of threads.

    Each call may raise `redis.exceptions.RedisError`.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        namespace: Namespace = "meepo2:event_store",
        retention: float | timedelta | None = RETENTION_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Connects to nothing yet."""
        self.redis = connect(url, timeout_seconds)
        self._namespace = namespace
        self._retention = retention.total_seconds() if isinstance(retention, timedelta) else retention
        if self._retention is None and not isinstance(namespace, str):
            raise ValueError("a namespace of time needs a retention: without one there is no end of namespaces to ask")

    def add(self, event: str, pk: Pk, ts: When | None = None) -> bool:
        """
        Notes that `pk` had the event at `ts`, or now; an older time than the one that is known changes nothing.

        Returns whether the store has the key now: not when `ts` is older than the retention.
        """
        time = self._now() if ts is None else _seconds(ts)
        key = _key(at(self._namespace, time), event)
        return self._script(self.redis, key, [time, member(pk)]) is not None

    def add_all(self, entries: Iterable[tuple[str, Pk, float]]) -> None:
        """Many at a time, as (event, pk, time in seconds); done when it returns, each event's by itself."""
        newest: defaultdict[tuple[str, str], dict[bytes, float]] = defaultdict(dict)
        for event, pk, time in entries:
            times = newest[at(self._namespace, time), event]
            name = member(pk)
            if times.get(name, float("-inf")) < time:
                times[name] = time
        with self.redis.pipeline(transaction=False) as pipeline:
            for (namespace, event), times in newest.items():
                for arguments in _chunks(times):
                    self._script(pipeline, _key(namespace, event), arguments)
            answers(pipeline)

    @overload
    def replay(self, event: str, ts: When = 0, end_ts: When | None = None) -> list[Pk]: ...
    @overload
    def replay(
        self, event: str, ts: When = 0, end_ts: When | None = None, *, with_ts: Literal[True]
    ) -> list[tuple[Pk, float]]: ...
    @overload
    def replay(
        self, event: str, ts: When = 0, end_ts: When | None = None, with_ts: bool = False
    ) -> list[Pk] | list[tuple[Pk, float]]: ...

    def replay(
        self, event: str, ts: When = 0, end_ts: When | None = None, with_ts: bool = False
    ) -> list[Pk] | list[tuple[Pk, float]]:
        """
        The keys that had the event from `ts` to `end_ts`, both included, the oldest first; with their times if asked.

        Each key comes once, at the newest of its times between the two that the store has: one in each namespace.
        Keys of one time come in the order of their members' bytes.
        """
        first = self._oldest(_seconds(ts))
        last = float("inf") if end_ts is None else _seconds(end_ts)
        times = self._times(event, first, last)
        found = sorted((time, name) for name, time in times.items())
        if with_ts:
            return [(pk_of(name), time) for time, name in found]
        return [pk_of(name) for _, name in found]

    def query(self, event: str, pk: Pk) -> float | None:
        """When the key last had the event; None where the store does not know that it had."""
        name = member(pk)
        oldest = self._oldest(float("-inf"))
        with self.redis.pipeline(transaction=False) as pipeline:
            for key in self._keys(event, oldest, float("inf")):
                pipeline.zscore(key, name)
            times = [time for time in answers(pipeline) if time is not None and time >= oldest]
        return max(times, default=None)

    def known(self, events: Iterable[str], pks: Sequence[tuple[KeyPart, ...]]) -> set[tuple[KeyPart, ...]]:
        """Those of the keys that had one of the events."""
        oldest = self._oldest(float("-inf"))
        found: set[tuple[KeyPart, ...]] = set()
        with self.redis.pipeline(transaction=False) as pipeline:
            for event in events:
                for key in self._keys(event, oldest, float("inf")):
                    for begin in range(0, len(pks), MOST_AT_ONCE):
                        some = pks[begin : begin + MOST_AT_ONCE]
                        members: Any = [member(pk) for pk in some]  # the client's hints know text only
                        pipeline.zmscore(key, members)
                        (times,) = answers(pipeline)
                        told = zip(some, times, strict=True)
                        found.update(pk for pk, time in told if time is not None and time >= oldest)
        return found

    def clear(self, event: str) -> bool:
        """Forgets the event, and no other; whether there was anything to forget."""
        keys = self._keys(event, self._oldest(float("-inf")), float("inf"))
        return bool(self.redis.unlink(*keys))

    def close(self) -> None:
        self.redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _times(self, event: str, first: float, last: float) -> dict[bytes, float]:
        with self.redis.pipeline(transaction=False) as pipeline:
            for key in self._keys(event, first, last):
                pipeline.zrangebyscore(key, first, last, withscores=True)
            found: dict[bytes, float] = {}
            for pairs in answers(pipeline):
                for name, time in pairs:
                    found[name] = max(time, found.get(name, time))
        return found

    def _script(self, target: Any, key: str, arguments: list[Any]) -> Any:
        retention = "" if self._retention is None else self._retention
        return target.eval(_ADD, 1, key, retention, *arguments)

    def _keys(self, event: str, first: float, last: float) -> list[str]:
        """Of all namespaces between the two times; a source whose clock is ahead is found up to a day."""
        if not isinstance(self._namespace, str):
            last = min(last, self._now() + _DAY)
        return [_key(one, event) for one in between(self._namespace, first, max(first, last))]

    def _oldest(self, first: float) -> float:
        """The later of a time and the begin of what is retained."""
        return first if self._retention is None else max(first, self._now() - self._retention)

    def _now(self) -> float:
        seconds, microseconds = self.redis.time()
        return float(seconds + microseconds / 1e6)


def _seconds(given: When) -> float:
    if not isinstance(given, datetime):
        return float(given)
    if given.tzinfo is None:
        raise ValueError(f"{given} has no zone; give one, such as datetime.now(UTC), or seconds since 1970")
    return given.timestamp()


def _key(namespace: str, event: str) -> str:
    """With a colon in an event's name it could be another one's of another namespace."""
    if ":" in event:
        raise ValueError(f"an event's name has no colon, and {event!r} has; event_name() writes those of tables")
    return f"{namespace}:{event}"


def _chunks(times: dict[bytes, float]) -> Iterator[list[Any]]:
    flat: list[Any] = []
    for name, time in times.items():
        flat += (time, name)
    for begin in range(0, len(flat), 2 * MOST_AT_ONCE):
        yield flat[begin : begin + 2 * MOST_AT_ONCE]
