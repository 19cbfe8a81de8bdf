"""
A broker with transactions: partitions, producer epochs, fencing, markers that come late, requests that come late.

Every decision on a transaction is final the moment it is made, and told to `decided`.  Knows nothing of clients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


class Fenced(Exception):
    """Another producer has the transactional id."""


@dataclass(slots=True, eq=False)
class Transaction:
    """`partitions` are those that have records of it and no marker yet."""

    owner: object
    began_at: float
    timeout_seconds: float
    state: str = OPEN
    partitions: list[Partition] = field(default_factory=list)
    records: list[Entry] = field(default_factory=list)


class Entry(NamedTuple):
    """One offset of a partition; markers have no key."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    transaction: Transaction


class Partition:
    """A log; its offsets are the indexes of `entries`."""

    def __init__(self, topic: str, number: int) -> None:
        self.topic, self.number = topic, number
        self.entries: list[Entry] = []
        self._open: dict[Transaction, int] = {}

    def append(self, key: bytes, value: bytes | None, timestamp_ms: int, transaction: Transaction) -> None:
        if transaction not in self._open:
            self._open[transaction] = len(self.entries)
            transaction.partitions.append(self)
        entry = Entry(self.topic, self.number, key, value, timestamp_ms, transaction)
        self.entries.append(entry)
        transaction.records.append(entry)

    def mark(self, transaction: Transaction) -> None:
        del self._open[transaction]
        self.entries.append(Entry(self.topic, self.number, None, None, 0, transaction))

    @property
    def high(self) -> int:
        return len(self.entries)

    @property
    def stable(self) -> int:
        """The last stable offset: where the first transaction begins that has no marker yet."""
        return min(self._open.values(), default=len(self.entries))

    def committed(self) -> list[tuple[int, Entry]]:
        """What a read_committed consumer sees now, with its offsets."""
        return [
            (offset, entry)
            for offset, entry in enumerate(self.entries[: self.stable])
            if entry.key is not None and entry.transaction.state == COMMITTED
        ]


@dataclass(slots=True)
class _Owner:
    """The state of a transactional id at its coordinator."""

    epoch: int = -1
    transaction: Transaction | None = None
    unmarked: list[Transaction] = field(default_factory=list)


class Session(NamedTuple):
    """A producer's id and epoch."""

    transactional_id: str
    epoch: int
    owner: object


class Broker:
    """
    `decided` hears of each transaction that is committed; `marker_lag` says how long markers take.
    """

    def __init__(
        self,
        decided: Callable[[Transaction], None],
        marker_lag: Callable[[], float],
    ) -> None:
        self.partitions: dict[tuple[str, int], Partition] = {}
        self._counts: dict[str, int] = {}
        self._owners: dict[str, _Owner] = {}
        self._decided = decided
        self._marker_lag = marker_lag
        self._due: list[tuple[float, Callable[[], None]]] = []
        self.now = 0.0

    def create(self, topic: str, partitions: int) -> int:
        """The topic's number of partitions."""
        if topic not in self._counts:
            self._counts[topic] = partitions
            self.partitions |= {(topic, n): Partition(topic, n) for n in range(partitions)}
        return self._counts[topic]

    def count(self, topic: str) -> int:
        return self._counts[topic]

    def topics(self) -> list[str]:
        return list(self._counts)

    # -- the coordinator

    def init(self, transactional_id: str, owner: object) -> Session:
        """A new epoch: the open transaction is aborted, and older producers are fenced."""
        state = self._owners.setdefault(transactional_id, _Owner())
        state.epoch += 1
        self._decide(state, ABORTED)
        return Session(transactional_id, state.epoch, owner)

    def is_settled(self, transactional_id: str) -> bool:
        """Whether all markers are written; until then the id cannot begin anything new."""
        return not self._owners[transactional_id].unmarked

    def append(
        self,
        session: Session,
        topic: str,
        partition: int,
        record: tuple[bytes, bytes | None, int],
        timeout_seconds: float,
    ) -> None:
        """The first record begins the transaction."""
        state = self._owner(session)
        if state.transaction is None:
            state.transaction = Transaction(session.owner, self.now, timeout_seconds)
        self.partitions[topic, partition].append(*record, state.transaction)

    def end(self, session: Session, *, commit: bool) -> None:
        """Of whichever transaction is open: the request does not say which one it means."""
        self._decide(self._owner(session), COMMITTED if commit else ABORTED)

    def end_later(self, session: Session, delay_seconds: float) -> None:
        """A commit request that is still on its way."""

        def arrive() -> None:
            if self._owners[session.transactional_id].epoch == session.epoch:
                self.end(session, commit=True)

        self._due.append((self.now + delay_seconds, arrive))

    def _owner(self, session: Session) -> _Owner:
        state = self._owners[session.transactional_id]
        if state.epoch != session.epoch:
            raise Fenced
        return state

    def _decide(self, state: _Owner, outcome: str) -> None:
        transaction, state.transaction = state.transaction, None
        if transaction is None:
            return
        transaction.state = outcome
        state.unmarked.append(transaction)
        self._due.append((self.now + self._marker_lag(), lambda: self._mark(state, transaction)))
        if outcome == COMMITTED:
            self._decided(transaction)

    @staticmethod
    def _mark(state: _Owner, transaction: Transaction) -> None:
        for partition in transaction.partitions:
            partition.mark(transaction)
        state.unmarked.remove(transaction)

    # -- time

    def advance(self, now: float) -> None:
        """What became due: late requests, markers, transactions that took too long."""
        self.now = now
        for moment, action in [one for one in self._due if one[0] <= now]:
            self._due.remove((moment, action))
            action()
        for state in self._owners.values():
            open_one = state.transaction
            if open_one is not None and now - open_one.began_at > open_one.timeout_seconds:
                state.epoch += 1
                self._decide(state, ABORTED)
