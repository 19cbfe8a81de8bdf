"""
What differs is applied once more, by the connector's own sink, as records of the keys.

A record only says which row to look at, so the sink reads the row as it is and writes it, or removes what the source
has not.  The records carry the last `seq` that the capture committed before the rows are read: guards let them pass,
and whatever comes later passes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from meepo2_cdc.records import Action, Source, TableAction
from meepo2_cdc.records.snapshot import TableName
from meepo2_cdc.replay.sink import Difference, Rejected, Replica, Sink, TryAgain
from meepo2_cdc.replay.verify.looking import Key, Row, Rows, exact_rows
from meepo2_cdc.replay.verify.suspects import Suspect, SuspectFile

_TRIES = 5
_PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class Repaired:
    """How many differences are none any more, and how many stayed, by the reason."""

    mended: int = 0
    stayed: dict[str, int] = field(default_factory=dict)

    def count_stayed(self, why: str) -> None:
        self.stayed[why] = self.stayed.get(why, 0) + 1


class Repair:
    """`last_seq` is asked before rows are read; `sink` is open."""

    def __init__(
        self,
        rows: Rows,
        replica: Replica,
        sink: Sink,
        last_seq: Callable[[], int],
        source: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rows = rows
        self._replica = replica
        self._sink = sink
        self._last_seq = last_seq
        self._source = source
        self._sleep = sleep

    def mend(self, differences: SuspectFile) -> Repaired:
        repaired = Repaired()
        for name, some in differences.batches():
            failed = self._apply(name, some)
            for pk, found in self._differing(name, some).items():
                repaired.count_stayed(failed.get(pk) or f"still {found.kind} after it was applied")
            repaired.mended += len(some)
        repaired.mended -= sum(repaired.stayed.values())
        return repaired

    def _differing(self, name: TableName, some: Sequence[Suspect]) -> Mapping[Key, Difference]:
        return self._replica.differing(*name, exact_rows(self._rows, *name, [one.pk for one in some]))

    def _apply(self, name: TableName, some: Sequence[Suspect]) -> dict[Key, str]:
        """Why some could not be applied."""
        seq = self._last_seq()
        rows = exact_rows(self._rows, *name, [one.pk for one in some])
        records = [self._record(name, pk, row, seq) for pk, row in rows.items()]
        failed: dict[Key, str] = {}
        tries = 0
        while records:
            try:
                self._sink.apply(records)
                break
            except Rejected as error:
                failed |= {one.pk: error.why for one in error.records}
            except TryAgain as error:
                tries += 1
                if tries == _TRIES:
                    return failed | {one.pk: error.why for one in error.records or records}
                self._sleep(error.after_seconds or _PAUSE_SECONDS)
            records = [one for one in records if one.pk not in failed]
        return failed

    def _record(self, name: TableName, pk: Key, row: Row | None, seq: int) -> TableAction:
        return TableAction(
            action=Action.DELETE if row is None else Action.WRITE,
            schema=name.schema,
            table=name.table,
            pk=pk,
            committed_at=datetime.now(UTC),
            snapshot=row is not None,
            seq=seq,
            source=Source(self._source, None, None, None, 0),
        )
