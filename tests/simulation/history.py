"""
What happened on the source, as facts: transactions, and what each of them must tell consumers.

Knows nothing of bytes, files or positions; those belong to each server.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from meepo2_cdc.capture.binlog.xa import PATIENCE_US

INT, TEXT = "int", "text"

Value = int | str | None
Values = tuple[Value, ...]
"""One row, a value for each column."""
Images = tuple[Values, ...]
"""What a log holds of one changed row: the row, or for an update the old and the new one."""
Xid = str
Record = tuple[str, str, tuple[Value, ...]]
"""Action, schema.table, primary key: what one Kafka record says."""
Told = tuple[Record, ...]
"""What consumers are told of one row: a changed key is two records, a truncate one for each partition."""


@dataclass(frozen=True, slots=True)
class Table:
    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[int, ...]
    captured: bool = True

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    def pk(self, values: Values) -> tuple[Value, ...]:
        return tuple(values[index] for index in self.key)


class Statement(NamedTuple):
    """Rows of one table that were changed by one statement."""

    table: Table
    action: str
    changes: list[Images]

    def told(self) -> list[Told]:
        return [self._told(change) for change in self.changes] if self.table.captured else []

    def _told(self, change: Images) -> Told:
        name, old, new = self.table.qualified, self.table.pk(change[0]), self.table.pk(change[-1])
        if old != new:
            return (("delete", name, old), ("write", name, new))
        return ((self.action, name, new),)


COMMIT, QUERY, PREPARE, ONE_PHASE, XA_COMMIT, XA_ROLLBACK = (
    "commit", "query", "prepare", "one phase", "xa commit", "xa rollback",
)  # fmt: skip


@dataclass(slots=True)
class Txn:
    """
    A transaction of the log.  `items` are statements, or queries as text; `told` is what consumers must be told of it,
    row by row.  The number and the origin are its global id.
    """

    kind: str
    items: list[Statement | str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    xid: Xid = ""
    committed_us: int = 0
    gtid: str = ""
    origin: str = ""
    server_id: int = 0
    number: int = 0


class History:
    """Transactions in commit order, and the rows told by all before each of them."""

    def __init__(self) -> None:
        self.txns: list[Txn] = []
        self.told: list[Told] = []
        self.rows_before = [0]
        self.by_gtid: dict[str, Txn] = {}

    def append(self, txn: Txn) -> None:
        """A transaction that a server has committed; the server keeps the list of them."""
        self.by_gtid[txn.gtid] = txn
        self.told += txn.told
        self.rows_before.append(len(self.told))

    def cut(self, count: int) -> None:
        """Only the first so many transactions ever happened."""
        for txn in self.txns[count:]:
            del self.by_gtid[txn.gtid]
        del self.txns[count:], self.rows_before[count + 1 :]
        del self.told[self.rows_before[-1] :]

    def number_of(self, row: int) -> int:
        """The transaction that a row belongs to."""
        return bisect_right(self.rows_before, row) - 1

    def count_to(self, gtid: str) -> int | None:
        """How many transactions there are up to and with this one; None when it never happened."""
        if not gtid:
            return 0
        return next((n for n in range(len(self.txns), 0, -1) if self.txns[n - 1].gtid == gtid), None)

    def undecided(self, count: int, since: int) -> int | None:
        """The earliest transaction, not before `since`, that among the first `count` is prepared and not decided."""
        prepared: dict[Xid, int] = {}
        for number, txn in enumerate(self.txns[:count]):
            if txn.kind == PREPARE and number >= since:
                prepared[txn.xid] = number
            elif txn.kind in (XA_COMMIT, XA_ROLLBACK):
                prepared.pop(txn.xid, None)
        waited_for = (number for number in prepared.values() if self._is_waited_for(self.txns[number], count))
        return min(waited_for, default=None)

    def _is_waited_for(self, txn: Txn, count: int) -> bool:
        """One without captured rows for a time only."""
        has_rows = any(isinstance(one, Statement) and one.told() for one in txn.items)
        return has_rows or self.txns[count - 1].committed_us - txn.committed_us < PATIENCE_US
