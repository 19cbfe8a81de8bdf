"""
Messages that are at hand already: dead letters that are applied again, and what tests feed a runner with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from meepo2_cdc.kafka.message import Message
from meepo2_cdc.kafka.offsets import Partition
from meepo2_cdc.replay.runner import Claims


class ListFeed:
    """Gives its messages once, then ends; `committed` holds the positions that its reader reached."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._left = list(messages)
        self.committed: dict[Partition, int] = {}

    def put(self, message: Message) -> None:
        """One more, before it is opened."""
        self._left.append(message)

    standing: Literal["reading"] = "reading"

    @property
    def ended(self) -> bool:
        return not self._left

    def open(self, claims: Claims) -> None:
        claims.assigned({Partition(one.topic(), one.partition()) for one in self._left})

    def read(self, most: int, seconds: float) -> Sequence[Message]:
        taken, self._left = self._left[:most], self._left[most:]
        return taken

    def idle(self) -> None: ...

    def ends(self) -> tuple[()]:
        return ()

    def commit(self, positions: Mapping[Partition, int], *, wait: bool) -> None:
        self.committed.update(positions)

    def close(self) -> None: ...
