"""
One table of the source against the target: every row in ranges of its key, then every key that the target has.

What does not fit is a suspect only, since changes may be on their way; settling.py says what becomes of it.
"""

from __future__ import annotations

import random as randomness
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from meepo2_cdc.errors import Error
from meepo2_cdc.records.snapshot import TableName
from meepo2_cdc.replay.sink import Difference, Replica
from meepo2_cdc.replay.source_ranges import Place
from meepo2_cdc.replay.verify.key_sums import KeySums, bucket_of, some_buckets
from meepo2_cdc.replay.verify.looking import Key, Row, Rows, average_bytes, exact_rows, keyed
from meepo2_cdc.replay.verify.suspects import BATCH_KEYS, Suspect

FIRST_ROWS = 200
MOST_ROWS = 5_000
RANGE_BYTES = 4 << 20
"""How much is read at once: few rows where they are large."""

_AT_ONCE = 2

Range = dict[Key, Row | None]


@dataclass(slots=True)
class Compared:
    """What was compared of a table: `rows` of the source, and `held` keys of the target."""

    name: TableName
    rows: int = 0
    held: int = 0
    ranges: int = 0
    left_out: str = ""


class Comparison:
    """`share` is how much is looked at, of the ranges of the source's rows and of the target's keys."""

    def __init__(
        self,
        rows: Rows,
        replica: Replica,
        *,
        share: float = 1.0,
        random: Callable[[], float] = randomness.random,
        progress: Callable[[Compared], None] = lambda compared: None,
    ) -> None:
        self._rows = rows
        self._replica = replica
        self._share = share
        self._random = random
        self._progress = progress

    def suspects(self, compared: Compared) -> Iterator[Suspect]:
        """Counts in `compared` as it goes."""
        name, right = compared.name, KeySums()
        with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(_AT_ONCE + 1) as pool:
            held = pool.submit(self._held, name) if self._share == 1 else None
            for rows, differing in self._differing(name, ahead, pool):
                compared.rows += len(rows)
                compared.ranges += 1
                for pk, found in differing.items():
                    yield Suspect(name, pk, found.kind, found.about)
                missing = {pk for pk, found in differing.items() if found.kind == "missing"}
                right.add(rows.keys() - missing if missing else rows)
                self._progress(compared)
            unlike = self._some_buckets() if held is None else self._unlike(compared, held.result(), right)
        if unlike:
            yield from self._extra(compared, unlike)

    # -- the source's rows

    def _differing(
        self, name: TableName, ahead: Executor, pool: Executor
    ) -> Iterator[tuple[Range, Mapping[Key, Difference]]]:
        """Ranges, each with what differs in it; some are compared while the next one is read."""
        waiting: deque[tuple[Range, Future[Mapping[Key, Difference]]]] = deque()
        for rows in self._ranges(name, ahead):
            waiting.append((rows, pool.submit(self._replica.differing, *name, rows)))
            if len(waiting) > _AT_ONCE:
                rows, differing = waiting.popleft()
                yield rows, differing.result()
        for rows, differing in waiting:
            yield rows, differing.result()

    def _ranges(self, name: TableName, ahead: Executor) -> Iterator[Range]:
        """The next range is read while one is used."""
        next_range = ahead.submit(self._read, name, None, FIRST_ROWS, certain=True)
        places: set[int] = set()
        while (read := next_range.result()) is not None:
            rows, place, limit = read
            if hash(place) in places:
                raise Error(
                    f"the rows of {name} have no end: the server orders their keys otherwise than it compares them",
                    fix="Its key has characters that UTF-8 does not lead back to.  Leave the table out.",
                )
            places.add(hash(place))
            next_range = self._submit(ahead, name, place, limit)
            yield rows

    def _submit(
        self, ahead: Executor, name: TableName, place: Place, limit: int
    ) -> Future[tuple[Range, Place, int] | None]:
        return ahead.submit(self._read, name, place, limit, certain=False)

    def _read(
        self, name: TableName, place: Place | None, limit: int, *, certain: bool
    ) -> tuple[Range, Place, int] | None:
        """A range, where it ends and how large the next one may be; None when there are no more."""
        while self._share < 1 and not certain and self._random() >= self._share:
            place = self._rows.skip(*name, place, limit)
            if place is None:
                return None
        rows, end = self._rows.behind(*name, place, limit)
        table = self._rows.table(*name)
        if end is None or table is None:
            return None
        room = int(RANGE_BYTES / max(1.0, average_bytes(rows)))
        return keyed(table, rows), end, max(1, min(MOST_ROWS, room))

    # -- the target's keys

    def _held(self, name: TableName) -> tuple[KeySums, int]:
        held, count = KeySums(), 0
        for pks in self._replica.keys(*name):
            count += len(pks)
            held.add(pks)
        return held, count

    def _unlike(self, compared: Compared, held: tuple[KeySums, int], right: KeySums) -> set[int]:
        """Where the target may have keys that are no row's; where the sums are equal, nothing needs to be asked."""
        sums, compared.held = held
        return sums.unlike(right)

    def _some_buckets(self) -> set[int]:
        return some_buckets(self._share, self._random)

    def _extra(self, compared: Compared, buckets: set[int]) -> Iterator[Suspect]:
        held = (pk for some in self._replica.keys(*compared.name) for pk in some if bucket_of(pk) in buckets)
        while pks := list(islice(held, BATCH_KEYS)):
            if self._share < 1:
                compared.held += len(pks)
            yield from self._not_in_source(compared.name, list(dict.fromkeys(pks)))

    def _not_in_source(self, name: TableName, pks: Sequence[Key]) -> Iterator[Suspect]:
        for pk, row in exact_rows(self._rows, *name, pks).items():
            if row is None:
                yield Suspect(name, pk, "extra")
