"""
How far a capture is: its loop writes it, other threads read it whenever somebody looks.

Nothing here costs the loop more than an assignment; what is dear to know is worked out by who asks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from meepo2_cdc.observe import metrics
from meepo2_cdc.observe.vitals import Health, State, Vitals

if TYPE_CHECKING:
    from meepo2_cdc.capture.binlog.changes import ChangeReader
    from meepo2_cdc.capture.binlog.stream import EventStream
    from meepo2_cdc.capture.committer import Committer
    from meepo2_cdc.capture.encoder import Encoder
    from meepo2_cdc.records.checkpoint import Checkpoint

_CURRENT_SECONDS = 1.0
"""An idle stream says five times a second that it is."""
_SLOW_COMMIT_SECONDS = 15.0


class Progress(Vitals):
    """
    `current_at` is when last all that the source had sent was committed.

    `silence_seconds` is the time without a sign of life of the source after which it is not known to be current.
    """

    def __init__(self, committer: Committer, silence_seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.committer = committer
        self.reader: ChangeReader | None = None
        self.encoder: Encoder | None = None
        self.stream: EventStream | None = None
        self.current_at: float | None = None
        self.transactions = 0
        self._silence_seconds = silence_seconds

    def follow(self, stream: EventStream | None) -> None:
        """The stream that is read now; None while there is none."""
        self.stream = stream
        self.moved()

    def rest(self) -> None:
        """Nothing waits at the source, and nothing here but, perhaps, for the end of a commit."""
        self.count()
        if self.committer.under_way_since is None:
            self.current_at = self.moved_at

    def count(self) -> None:
        """From time to time, as a counter of the metrics takes a lock for each step."""
        if self.transactions:
            metrics.TRANSACTIONS.inc(self.transactions)
            self.transactions = 0

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last that is known to be committed."""
        return self.committer.last

    @property
    def queued(self) -> int:
        """Records that were read and are not committed."""
        return self.committer.records_under_way + (0 if self.encoder is None else self.encoder.rows)

    def lag_seconds(self) -> float:
        """NaN while nothing is known; clocks that differ are not told apart from lag."""
        ages = [age for age in (self._current_age(), self._committed_age()) if age is not None]
        if not ages:
            return math.nan
        least = min(ages)
        return 0.0 if self.stream is not None and least < _CURRENT_SECONDS and not self.queued else max(0.0, least)

    def _current_age(self) -> float | None:
        """A stream may be idle because its server hangs: what it was silent for beyond heartbeats is lag."""
        if self.current_at is None:
            return None
        age = self.clock() - self.current_at
        if self.stream is None:
            return age
        return max(age, self.clock() - self.stream.heard_at - self._silence_seconds)

    def _committed_age(self) -> float | None:
        """Of the last change that is in Kafka, or need not be."""
        reader, last = self.reader, self.committer.last
        if reader is not None and not self.queued and reader.committed_us is not None:
            return time.time() - reader.committed_us / 1e6
        if last is None or last.committed_at is None:
            return None
        return time.time() - last.committed_at.timestamp()

    def health(self) -> Health:
        still = self.clock() - max(self.moved_at, 0.0 if self.stream is None else self.stream.heard_at)
        return Health(self.state, still, tuple(self._lacks()))

    def _lacks(self) -> list[str]:
        if self.state != "running":
            return [] if self.state == "standby" else [_LACKS[self.state]]
        lacks = []
        if self.stream is None:
            lacks.append("the source is away, and is tried again")
        since = self.committer.under_way_since
        if since is not None and time.monotonic() - since > _SLOW_COMMIT_SECONDS:
            lacks.append(f"a commit is under way for {time.monotonic() - since:.0f} s: Kafka, or the source, is slow")
        return lacks


_LACKS: dict[State, str] = {
    "starting": "it starts: source and Kafka are checked, and the position is looked for",
    "ended": "it ends",
}
