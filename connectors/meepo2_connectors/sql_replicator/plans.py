"""
The plans of all tables: made when a table is first met, and again when definitions may have changed.

Here is decided what becomes of tables that cannot be written to; each is told once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter
from sqlalchemy import Table

from meepo2_cdc.errors import ConfigError
from meepo2_connectors.sql_replicator.created import created_table
from meepo2_connectors.sql_replicator.names import Name, Names, TargetName
from meepo2_connectors.sql_replicator.plan import Plan, make_plan
from meepo2_connectors.sql_replicator.settings import Settings
from meepo2_connectors.sql_replicator.target import Target

if TYPE_CHECKING:
    from meepo2_cdc.replay.rows import SourceRows

log = structlog.get_logger()

SKIPPED = Counter(
    "meepo2_cdc_sql_replicator_skipped", "Records passed over because the target has no such table.", ["table"]
)
KNOWN_SECONDS = 60.0
MISSING_SECONDS = 10.0
"""How long it is believed that a table is what it was, and that it is not there."""


@dataclass(frozen=True, slots=True)
class _Known:
    plan: Plan | None
    until: float


class Plans:
    """Several threads may ask; each table is looked up by one at a time or by several, which does no harm."""

    def __init__(self, own: Settings, target: Target, rows: SourceRows, clock: Callable[[], float] = monotonic) -> None:
        self._own = own
        self._target = target
        self._rows = rows
        self._names = Names(own.target_schema, own.tables, own.columns)
        self._zero_as_null = own.zero_dates == "null"
        self._clock = clock
        self._known: dict[Name, _Known] = {}
        self._told: set[tuple[Name, str]] = set()

    def of(self, name: Name) -> Plan | None:
        """None when the table's records are to be passed over; raises ConfigError for what a person must mend."""
        known = self._known.get(name)
        if known is None or known.until < self._clock():
            plan = self._make(name)
            known = _Known(plan, self._clock() + (MISSING_SECONDS if plan is None else KNOWN_SECONDS))
            self._known[name] = known
        return known.plan

    def forget(self, name: Name) -> None:
        self._known.pop(name, None)

    def forget_all(self) -> None:
        self._known.clear()

    def skip(self, name: Name, records: int) -> None:
        SKIPPED.labels(".".join(name)).inc(records)

    def _make(self, name: Name) -> Plan | None:
        target_name = self._names.table(name)
        source = self._rows.table(*name)
        table = self._target.table(target_name)
        if table is None:
            table = self._missing(name, target_name, source)
        if table is None:
            return None
        self._refuse_foreign_keys(table)
        if source is None:
            self._tell(name, "The source has no such table: its rows are deleted from the target as records name them")
        like = table if source is None else source
        columns = self._names.columns(name, (column.name for column in like.columns))
        plan = make_plan(self._target, like, table, columns, zero_as_null=self._zero_as_null)
        if plan.ignored:
            self._tell(name, "The target has no columns for some of the source, which are left out", plan.ignored)
        return plan

    def _missing(self, name: Name, wanted: TargetName, source: Table | None) -> Table | None:
        shown = ".".join(part for part in wanted if part is not None)
        if self._own.on_missing_table == "stop":
            raise ConfigError(
                f"{self._target.name} has no table {shown} for {'.'.join(name)}",
                fix='Create it, map it in [sql_replicator.tables], or set on_missing_table = "skip" or "create".',
            )
        if self._own.on_missing_table == "create" and source is not None:
            self._create(name, wanted, source)
            return self._target.table(wanted)
        self._tell(name, "The target has no such table: its records are passed over", [shown])
        return None

    def _create(self, name: Name, wanted: TargetName, source: Table) -> None:
        columns = self._names.columns(name, (column.name for column in source.columns))
        if self._target.dialect not in ("postgresql", "sqlite", "mysql", "mariadb"):
            raise ConfigError(f'on_missing_table = "create" is not known for {self._target.dialect}')
        table = created_table(
            source, wanted, columns, self._target.dialect, self._target.collations, zero_as_null=self._zero_as_null
        )
        self._target.create(table)
        log.info("A table was created in the target", source=".".join(name), target=table.fullname)

    def _refuse_foreign_keys(self, table: Table) -> None:
        referred = self._target.foreign_keys(table)
        if referred:
            raise ConfigError(
                f"{table.fullname} in {self._target.name} has foreign keys, to {', '.join(referred)}; rows arrive in no"
                " order among tables, so that one may come before the row it refers to",
                fix='Drop them, or set foreign_keys = "ignore" or "retry" in [sql_replicator].',
            )

    def _tell(self, name: Name, what: str, about: list[str] | None = None) -> None:
        if (name, what) not in self._told:
            self._told.add((name, what))
            log.warning(what, table=".".join(name), target=self._target.name, **({"names": about} if about else {}))
