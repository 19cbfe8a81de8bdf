"""
What is read from the log: changes of rows within transactions, and positions between them.

Values only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from meepo2_cdc.capture.binlog.tables import TableLayout
from meepo2_cdc.records import Action
from meepo2_cdc.records.position import GtidSet, LogPosition


@dataclass(slots=True)
class Transaction:
    """
    A transaction that is being read.

    `committed_us` is the time at the server on which it was made, `here_us` that at the server whose log is read.
    `open` says that it goes on until a COMMIT, else it is one statement.  `rows` counts the captured rows that were
    given out, or passed over because they are published.  Between XA START and its end `xa` is the transaction's xid,
    and its rows wait in `held` for the decision; behind a savepoint they wait too, since going back to it undoes them.
    `savepoints` are how many were held at each.  `encoded` is a place where the encoder keeps what it has encoded.
    `snapshot`: its rows are no changes, they were there already.
    """

    gtid: str | None
    committed_us: int
    here_us: int
    file: str
    position: int
    open: bool
    wanted: bool = True
    rows: int = 0
    xa: str | None = None
    held: list[Rows] = field(default_factory=list)
    savepoints: dict[str, int] | None = None
    encoded: Any = None
    snapshot: bool = False


class Rows(NamedTuple):
    """
    Rows of one event.  `keys` are encoded primary keys: one a row, or for updates the old and the new of each in turn.

    `first_row` is the number of the first among the captured rows of the transaction.  `images` are the encoded rows
    that go with the keys, where they are published: none at all where they could not be read.
    """

    layout: TableLayout
    action: Action
    keys: list[bytes]
    transaction: Transaction
    first_row: int
    images: list[bytes] | None = None

    @property
    def row_count(self) -> int:
        return len(self.keys) // 2 if self.action is Action.UPDATE else len(self.keys)

    def without_first(self, count: int) -> Rows:
        images = 2 if self.action is Action.UPDATE else 1
        rest = None if self.images is None else self.images[count * images :]
        return self._replace(keys=self.keys[count * images :], first_row=self.first_row + count, images=rest)


class Truncate(NamedTuple):
    """A table that was emptied."""

    schema: str
    table: str
    transaction: Transaction


class Mark(NamedTuple):
    """Something beside a change: a transaction ended, or nothing more is waiting."""

    name: str


ENDED = Mark("transaction ended")
IDLE = Mark("nothing is waiting")
BEGAN = Mark("the first transaction that counts began")
Change = Rows | Truncate | Mark


@dataclass(frozen=True, slots=True)
class Undecided:
    """Where the earliest XA transaction begins that is prepared, and neither committed nor rolled back."""

    file: str
    offset: int
    gtids: GtidSet | None


@dataclass(frozen=True, slots=True)
class Position:
    """
    Everything before `file`:`offset` is done, and `rows_done` captured rows of the transaction `gtid` that begins
    there.

    `gtids` is None while they are not known: the server has none, or the log is read from a file's beginning, which
    will tell them.  With an `undecided` transaction, reading begins there after a restart.
    """

    file: str
    offset: int
    gtids: GtidSet | None
    gtid: str | None = None
    rows_done: int = 0
    undecided: Undecided | None = None


@dataclass(frozen=True, slots=True)
class Since:
    """
    Which transactions count: those from a position on, or from a time on, or those that are not published.

    What does not count is read all the same, for its global ids and for XA transactions that are decided later.
    """

    position: LogPosition | None = None
    committed_us: int | None = None
    published: Position | None = None

    def admits(self, transaction: Transaction) -> bool:
        if self.committed_us is not None:
            return transaction.committed_us >= self.committed_us
        if self.published is not None and self.published.gtids is not None and transaction.gtid is not None:
            return transaction.gtid not in self.published.gtids
        at = self.position
        if self.published is not None:
            at = LogPosition(self.published.file, self.published.offset)
        return at is None or LogPosition(transaction.file, transaction.position).order >= at.order
