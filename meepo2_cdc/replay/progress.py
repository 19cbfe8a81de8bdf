"""
How far a consumer is in its partitions: what was read, what is still open, what may be committed.

The offset to commit is the least one that is open, else the one after the last that was read; offsets have holes, so
nothing here counts by adding one to another.
"""

from __future__ import annotations

from collections import deque

from meepo2_cdc.kafka.message import Message
from meepo2_cdc.records import TableAction


class Claim:
    """A partition that is ours until it is taken away; whoever still works on its records looks at `held`."""

    __slots__ = ("held", "next", "spans")

    def __init__(self) -> None:
        self.held = True
        self.spans: deque[Span] = deque()
        self.next: int | None = None

    @property
    def position(self) -> int | None:
        """What may be committed; None while nothing was read."""
        spans = self.spans
        while spans and not spans[0].open:
            spans.popleft()
        return spans[0].least_open() if spans else self.next

    @property
    def done(self) -> bool:
        """Whether nothing that was read is open."""
        return self.position == self.next


class Span:
    """Consecutive records of a partition that were read together, and which of their deliveries are done."""

    __slots__ = ("claim", "done", "offsets", "open")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.open = 0
        self.offsets: list[int] = []
        """Of each delivery, ascending; a record that two routes want is there twice."""
        self.done: list[int] = []
        """Of those that are done, in any order."""

    def least_open(self) -> int:
        """Only asked of a span that has something open."""
        done = sorted(self.done)
        return next(
            (offset for offset, finished in zip(self.offsets, done, strict=False) if offset != finished),
            self.offsets[min(len(done), len(self.offsets) - 1)],
        )


Delivery = tuple[TableAction, Message, Span]
"""A record on its way to a sink, the message it was read from, and where it is counted; a plain tuple, as there are
hundreds of thousands a second."""
