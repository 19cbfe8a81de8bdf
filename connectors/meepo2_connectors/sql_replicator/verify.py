"""
What the target has of the source's rows, read back and compared with what would be written now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import structlog

from meepo2_cdc.replay.sink import Context, Difference, TryAgain
from meepo2_connectors.sql_replicator.found import FOUND, FoundRows
from meepo2_connectors.sql_replicator.likeness import Likeness
from meepo2_connectors.sql_replicator.names import Name, Names
from meepo2_connectors.sql_replicator.plan import Key, Plan, Row
from meepo2_connectors.sql_replicator.plans import Plans
from meepo2_connectors.sql_replicator.refusals import Outdated
from meepo2_connectors.sql_replicator.settings import Settings
from meepo2_connectors.sql_replicator.statements import Values
from meepo2_connectors.sql_replicator.target import KEYS, Target
from meepo2_connectors.sql_replicator.values import Unfit

if TYPE_CHECKING:
    from meepo2_cdc.replay.rows import SourceRows

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Reading:
    """How rows of one table are read back; made anew with its plan."""

    plan: Plan
    found: FoundRows
    likeness: Likeness


class SqlReplica:
    """Tables are never created here."""

    def __init__(self, own: Settings, context: Context) -> None:
        self._skips_missing = own.on_missing_table == "skip"
        self._own = own.model_copy(update={"on_missing_table": "skip"})
        self._names = Names(own.target_schema, own.tables, own.columns)
        self._open_rows = context.source_rows
        self._target = Target(own)
        self._rows: SourceRows
        self._plans: Plans
        self._readings: dict[Name, _Reading] = {}

    def open(self) -> None:
        self._target.open()
        self._rows = self._open_rows()
        self._plans = Plans(self._own, self._target, self._rows)

    def close(self) -> None:
        self._target.close()
        self._rows.close()

    def place(self, schema: str, table: str) -> str:
        return repr(self._names.table((schema, table)))

    def left_out(self, schema: str, table: str) -> str:
        if self._plans.of((schema, table)) is None and self._skips_missing:
            return "the target has no such table, and on_missing_table is skip"
        return ""

    def differing(self, schema: str, table: str, rows: Mapping[Key, Row | None]) -> dict[Key, Difference]:
        try:
            reading = self._reading((schema, table))
            if reading is None:
                missing = Difference("missing", "the target has no such table")
                return {pk: missing for pk, row in rows.items() if row is not None}
            return self._compared(reading, rows)
        except (Outdated, KeyError) as error:
            self._plans.forget((schema, table))
            raise TryAgain(f"a definition of {schema}.{table} changed meanwhile: {error}") from None

    def keys(self, schema: str, table: str) -> Iterator[list[Key]]:
        reading = self._reading((schema, table))
        if reading is None:
            return
        with self._target.reading() as connection:
            keys = reading.plan.statements.keys(connection)
            if not self._target.streams:
                keys = iter(list(keys))
                connection.rollback()
            while some := list(islice(keys, KEYS)):
                yield self._named(f"{schema}.{table}", reading.plan, some)

    def _named(self, name: str, plan: Plan, keys: Sequence[Sequence[Any]]) -> list[Key]:
        named, odd = [], 0
        for key in keys:
            try:
                named.append(plan.pk_of(key))
            except Unfit:
                odd += 1
        if odd:
            log.warning("Rows whose keys no record can name were not compared", table=name, rows=odd)
        return named

    def _reading(self, name: Name) -> _Reading | None:
        plan = self._plans.of(name)
        if plan is None:
            self._plans.forget(name)  # it may be created at any moment
            return None
        known = self._readings.get(name)
        if known is None or known.plan is not plan:
            shape = plan.statements.shape
            kind = FOUND.get(self._target.dialect, FoundRows)
            found = self._target.made(lambda connection: kind(connection, shape))
            known = self._readings[name] = _Reading(plan, found, Likeness(shape.table, shape.columns))
        return known

    def _compared(self, reading: _Reading, rows: Mapping[Key, Row | None]) -> dict[Key, Difference]:
        plan = reading.plan
        wanted: dict[Values, tuple[Key, Values | str | None]] = {}
        differing: dict[Key, Difference] = {}
        for pk, row in rows.items():
            try:
                key, values = _wanted(plan, pk, row)
            except Unfit as error:
                if row is not None:  # else it is a key that nothing can have
                    differing[pk] = Difference("missing", f"the target cannot hold it: {error}")
                continue
            wanted[key] = pk, values
        keys = list(wanted)
        for found in self._target.made(lambda connection: list(reading.found.read(connection, keys))) if keys else ():
            asked = self._asked(plan, wanted, found)
            if asked is not None:
                pk, values = wanted.pop(asked)
                difference = _difference(reading.likeness, values, found)
                if difference is not None:
                    differing[pk] = difference
        for pk, values in wanted.values():
            if values is not None:
                differing[pk] = Difference("missing", values if isinstance(values, str) else "")
        return differing

    @staticmethod
    def _asked(plan: Plan, wanted: Mapping[Values, tuple[Key, Any]], found: Sequence[Any]) -> Values | None:
        """The key under which a found row was asked for; None for one that only the target takes for equal."""
        key = plan.statements.key_of(tuple(found))
        if key in wanted:
            return key
        try:
            asked = plan.key_of(plan.pk_of(key))
        except Unfit:
            return None
        return asked if asked in wanted else None


def _wanted(plan: Plan, pk: Key, row: Row | None) -> tuple[Values, Values | str | None]:
    """The key to ask for, and the values there are to be; the reason where the target can hold none of them."""
    if row is None:
        return plan.key_of(pk), None
    try:
        values = plan.values_of(row)
    except Unfit as error:
        return plan.key_of(pk), f"the target cannot hold it: {error}"
    return plan.statements.key_of(values), values


def _difference(likeness: Likeness, values: Values | str | None, found: Sequence[Any]) -> Difference | None:
    if values is None:
        return Difference("extra")
    if isinstance(values, str):
        return Difference("different", values)
    if values == found:
        return None
    unlike = likeness.unlike(values, found)
    return Difference("different", f"columns {', '.join(unlike)}") if unlike else None
