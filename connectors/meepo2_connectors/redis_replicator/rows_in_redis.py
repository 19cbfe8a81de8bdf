"""
Rows in Redis, each written with the seq of the record that led to it.

Who reads a row and then writes it may be overtaken by another process that knows more.  So each write leaves a guard
behind, `<row>#seq`, for `guard_seconds`, and a write is refused whose seq is below the guard's, or whose row was read
longer ago than a guard lives.  Both are judged by Redis, by its own clock, in the script that writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from redis import Redis

from meepo2_connectors.redis_target import answers

MOST_AT_ONCE = 100
"""Rows in one call of the script, as Redis does nothing else meanwhile."""
MOST_NAMES = 1000

# KEYS a row and its guard, in turn.  ARGV when the rows were read, milliseconds that a guard lives, milliseconds that
# a row lives ("" for ever), "hash" or "json"; then for each row its seq, how many values follow, and these: none for a
# row that is gone.  HSET goes by parts, as Lua's stack has 8,000 places.  Returns 0 when the rows are too old.
_WRITE = """
local now = redis.call('TIME')
if (now[1] + now[2] / 1e6 - ARGV[1]) * 1000 >= tonumber(ARGV[2]) then return 0 end
local at = 5
for k = 1, #KEYS, 2 do
  local row, guard, seq, last = KEYS[k], KEYS[k + 1], ARGV[at], at + 1 + tonumber(ARGV[at + 1])
  if tonumber(redis.call('GET', guard) or '-1') <= tonumber(seq) then
    redis.call('SET', guard, seq, 'PX', ARGV[2])
    redis.call('UNLINK', row)
    if ARGV[4] == 'json' and last > at + 1 then
      redis.call('SET', row, ARGV[at + 2])
    else
      for first = at + 2, last, 2000 do
        redis.call('HSET', row, unpack(ARGV, first, math.min(first + 1999, last)))
      end
    end
    if ARGV[3] ~= '' then redis.call('PEXPIRE', row, ARGV[3]) end
  end
  at = last + 1
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Write:
    """A row's name, the seq of its record, and the values to write: none when the row is gone."""

    name: str
    seq: int
    values: Sequence[Any]


class RowsInRedis:
    """Writes and removes rows; each call may raise `redis.exceptions.RedisError`."""

    def __init__(self, redis: Redis, form: str, expire_seconds: int | None, guard_seconds: int) -> None:
        self._redis = redis
        self._form = form
        self._expire_ms = "" if expire_seconds is None else 1000 * expire_seconds
        self._guard_ms = 1000 * guard_seconds

    def now(self) -> float:
        """The time by Redis's clock; to be taken before rows are read."""
        seconds, microseconds = self._redis.time()
        return float(seconds + microseconds / 1e6)

    def write(self, writes: Sequence[Write], read_at: float) -> bool:
        """Writes the rows that nobody wrote by a newer record; False when they must be read again first."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for some in _pieces(writes, MOST_AT_ONCE):
                names: list[str] = []
                values: list[Any] = []
                for one in some:
                    names += (one.name, f"{one.name}#seq")
                    values += (one.seq, len(one.values), *one.values)
                settings = (repr(read_at), self._guard_ms, self._expire_ms, self._form)
                pipeline.eval(_WRITE, len(names), *names, *settings, *values)
            return all(answers(pipeline))

    def remove(self, names: Sequence[str]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for some in _pieces(names, MOST_NAMES):
                pipeline.unlink(*some)
            answers(pipeline)

    def names(self, pattern: str) -> Iterator[list[str]]:
        """All names that are there from the beginning to the end of the search, some at a time, perhaps repeatedly."""
        cursor = 0
        while True:
            scanned: Any = self._redis.scan(cursor, match=pattern, count=MOST_NAMES)
            cursor, found = scanned
            if found:
                yield [name.decode(errors="replace") for name in found]
            if not cursor:
                return


def _pieces(all_of: Sequence[Any], most: int) -> Iterator[list[Any]]:
    rest = iter(all_of)
    while some := list(islice(rest, most)):
        yield some
