"""
Suspects are looked at again, until it is certain what they are.

    look again            what fits now was on its way, and is none
    mark                  where the source is, behind that look
    wait                  until the target was given all before the mark, or the patience is over
    look again            a row that is what it was, and still does not fit, has no excuse

Two rounds in which a row has no excuse make a difference: a row that changed and changed back in between could have
one in the first.  When the patience is over, what does not fit is told all the same, as not settled; but a row that is
another one at each look only tells that it keeps changing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from meepo2_cdc.records.snapshot import TableName
from meepo2_cdc.replay.sink import Replica
from meepo2_cdc.replay.verify.looking import Rows, digest, exact_rows
from meepo2_cdc.replay.verify.suspects import Suspect, SuspectFile

_STEADY = 2
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.05, 1.0

Passed = Callable[[], bool]


class Pipeline(Protocol):
    """The way from the source to the target."""

    def mark(self) -> Passed:
        """What says whether the target was given all that the source has committed until now."""


class NoPipeline:
    """Of a target whose consumer is not known: only time says anything."""

    def mark(self) -> Passed:
        return lambda: False


@dataclass(slots=True)
class Settled:
    """`differences`, those that `is_settled` for certain; `changing`, how many rows were another at each look."""

    differences: SuspectFile = field(default_factory=SuspectFile)
    changing: dict[TableName, int] = field(default_factory=dict)
    looks: int = 0


def is_settled(one: Suspect) -> bool:
    """Whether nothing that was on its way could have made it right."""
    return one.steady >= _STEADY


class Settling:
    """`patience_seconds` count from the first look at the suspects here."""

    def __init__(
        self,
        rows: Rows,
        replica: Replica,
        pipeline: Pipeline,
        *,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rows = rows
        self._replica = replica
        self._pipeline = pipeline
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._sleep = sleep

    def settle(self, suspects: SuspectFile) -> Settled:
        """Takes the file, which is closed at the end."""
        settled = Settled()
        deadline = self._clock() + self._patience_seconds
        has_passed, is_last = False, False
        while suspects.count:
            suspects = self._look(suspects, settled, has_passed=has_passed, is_last=is_last)
            settled.looks += 1
            if suspects.count and not is_last:
                has_passed = self._wait(self._pipeline.mark(), deadline)
                is_last = self._clock() >= deadline
        suspects.close()
        return settled

    def _wait(self, passed: Passed, deadline: float) -> bool:
        pause = _LEAST_PAUSE_SECONDS
        while not passed():
            left = deadline - self._clock()
            if left <= 0:
                return False
            self._sleep(min(pause, left))
            pause = min(2 * pause, _MOST_PAUSE_SECONDS)
        return True

    def _look(self, suspects: SuspectFile, settled: Settled, *, has_passed: bool, is_last: bool) -> SuspectFile:
        """Those that must be looked at once more; none at the last look."""
        rest = SuspectFile()
        for name, some in suspects.batches():
            for one, is_same in self._unfit(name, some, has_passed):
                if is_settled(one) or (is_last and is_same):
                    settled.differences.add(one)
                elif is_last:
                    settled.changing[name] = settled.changing.get(name, 0) + 1
                else:
                    rest.add(one)
        suspects.close()
        return rest

    def _unfit(self, name: TableName, some: Sequence[Suspect], has_passed: bool) -> Iterator[tuple[Suspect, bool]]:
        """Those that still do not fit, and whether their row in the source is what it was at the look before."""
        rows = exact_rows(self._rows, *name, [one.pk for one in some])
        differing = self._replica.differing(*name, rows)
        for one in some:
            found = differing.get(one.pk)
            if found is not None:
                seen = digest(rows[one.pk])
                is_same = one.seen in (None, seen)
                yield one.again(found, seen, one.steady + 1 if is_same and has_passed else 0), is_same
