"""
A verification from its beginning to its end: which tables, their comparison, the settling, the repair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records.snapshot import TableName
from meepo2_cdc.replay.sink import Replica
from meepo2_cdc.replay.verify.comparison import Compared, Comparison
from meepo2_cdc.replay.verify.pipeline import KafkaPipeline, last_seq
from meepo2_cdc.replay.verify.repair import Repair, Repaired
from meepo2_cdc.replay.verify.settling import NoPipeline, Pipeline, Settled, Settling
from meepo2_cdc.replay.verify.suspects import SuspectFile
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

if TYPE_CHECKING:
    from meepo2_cdc.replay.connectors import Chosen
    from meepo2_cdc.replay.rows import SourceRows

Progress = Callable[[str, int, int, float], None]
_PROGRESS_SECONDS = 0.2
NO_KEY = "it has no primary key, so there are no records of it"


@dataclass(slots=True)
class Verified:
    """What was found; `changing` are the rows of each table that were another one at each look."""

    tables: list[Compared] = field(default_factory=list)
    differences: SuspectFile = field(default_factory=SuspectFile)
    changing: dict[TableName, int] = field(default_factory=dict)


class Verification:
    """
    Of one connector; `rows` and `replica` are open.

    With `has_group`, changes on their way are waited for by how far the connector's group is.
    """

    def __init__(
        self,
        chosen: Chosen,
        rows: SourceRows,
        replica: Replica,
        *,
        patience_seconds: float,
        share: float = 1.0,
        has_group: bool = True,
        progress: Progress = lambda name, rows, expected, seconds: None,
    ) -> None:
        self._chosen = chosen
        self._rows = rows
        self._replica = replica
        self._patience_seconds = patience_seconds
        self._share = share
        self._has_group = has_group
        self._progress = progress

    def run(self, patterns: Sequence[str]) -> Verified:
        """`patterns` are names of tables, perhaps with * and ?; without any, all that are heard of."""
        verified = Verified()
        suspects = SuspectFile()
        heard = self._heard()
        wanted = self._matching(heard, patterns)
        self._refuse_shared(heard, wanted)
        for name, expected in wanted.items():
            compared = Compared(name, left_out=self._left_out(name))
            verified.tables.append(compared)
            if not compared.left_out:
                for one in self._comparison(expected).suspects(compared):
                    suspects.add(one)
        settled = self._settle(suspects)
        verified.differences, verified.changing = settled.differences, settled.changing
        return verified

    def _heard(self) -> dict[TableName, int]:
        """All tables that the connector hears of; about how many rows each has."""
        heard = TableFilter(self._chosen.settings.tables, ghosts=True)
        return {TableName(*name): rows for name, rows in self._rows.tables().items() if heard.passes(*name)}

    def _refuse_shared(self, heard: Iterable[TableName], wanted: Collection[TableName]) -> None:
        """The rows of the one would be too many for the other, and a repair would remove them."""
        owners: dict[str, TableName] = {}
        for name in heard:
            owner = owners.setdefault(self._replica.place(*name), name)
            if owner != name and (owner in wanted or name in wanted):
                raise ConfigError(
                    f"{owner} and {name} are kept in one place of the target, where nobody can tell whose row is whose",
                    fix="Give each a place of its own in the settings, or leave one out by `tables`.",
                )

    def _matching(self, there: dict[TableName, int], patterns: Sequence[str]) -> dict[TableName, int]:
        if not patterns:
            return there
        found: dict[TableName, int] = {}
        for pattern in patterns:
            wanted = TableFilter([pattern], ghosts=True)
            matching = {name: rows for name, rows in there.items() if str(name) == pattern or wanted.passes(*name)}
            if not matching:
                raise ConfigError(
                    f"no table of the source that {self._chosen.name} hears of is named {pattern}",
                    fix="Expected schema.table, perhaps with * and ?; see `tables` in the settings.",
                )
            found |= matching
        return found

    def _left_out(self, name: TableName) -> str:
        table = self._rows.table(*name)
        if table is not None and not table.primary_key.columns:
            return NO_KEY
        return self._replica.left_out(*name)

    def _comparison(self, expected: int) -> Comparison:
        began = shown = time.monotonic()

        def progress(compared: Compared) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown > _PROGRESS_SECONDS:
                shown = now
                self._progress(str(compared.name), compared.rows, expected, now - began)

        return Comparison(self._rows, self._replica, share=self._share, progress=progress)

    def _settle(self, suspects: SuspectFile) -> Settled:
        with ExitStack() as stack:
            pipeline: Pipeline = NoPipeline()
            if suspects.count and self._has_group:
                pipeline = stack.enter_context(KafkaPipeline(self._chosen.settings, self._chosen.group, self._rows))
            if suspects.count:
                log.info("Rows that did not fit are looked at again", rows=suspects.count)
            settling = Settling(self._rows, self._replica, pipeline, patience_seconds=self._patience_seconds)
            return settling.settle(suspects)

    def repair(self, differences: SuspectFile, seq: Callable[[], int] | None = None) -> Repaired:
        """
        Applies what differs once more, and looks at it again.

        `seq` gives that of the records: that of the last checkpoint unless given.
        """
        settings = self._chosen.settings
        sink = self._chosen.sink()
        sink.open()
        try:
            if seq is None:
                seq = (lambda: last_seq(settings)) if self._has_group else (lambda: 0)
            return Repair(self._rows, self._replica, sink, seq, settings.source.name).mend(differences)
        finally:
            sink.close()
