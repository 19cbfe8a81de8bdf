"""
Records as a capture would write them: seq without a gap, times that go on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from meepo2_cdc.records import Action, KeyPart, Source, TableAction

BEGIN = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class Changes:
    """
    Makes the records of changes, in the order in which it is asked for them.

    A second between two of them; `seq` is far above zero, as that of a real capture is.
    """

    def __init__(self, schema: str = "shop", table: str = "user") -> None:
        self._schema = schema
        self._table = table
        self._numbers = count()

    def write(self, *pk: KeyPart, table: str | None = None) -> TableAction:
        return self._record(Action.WRITE, pk, table)

    def update(self, *pk: KeyPart, table: str | None = None) -> TableAction:
        return self._record(Action.UPDATE, pk, table)

    def delete(self, *pk: KeyPart, table: str | None = None) -> TableAction:
        return self._record(Action.DELETE, pk, table)

    def truncate(self, table: str | None = None) -> TableAction:
        return self._record(Action.TRUNCATE, (), table)

    def _record(self, action: Action, pk: tuple[KeyPart, ...], table: str | None) -> TableAction:
        n = next(self._numbers)
        return TableAction(
            action=action,
            schema=self._schema,
            table=table or self._table,
            pk=pk,
            committed_at=BEGIN + timedelta(seconds=n),
            snapshot=False,
            seq=1_782_907_200_000_000 + n,
            source=Source("db", None, "binlog.000001", 4 + 100 * n, 0),
        )
