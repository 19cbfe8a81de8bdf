"""
Records into rows of the target: what a record names is read from the source as it is now, and written as it was read.

So old and repeated records do no harm.  The order of the steps keeps a row that was read earlier from being written
behind one that was read later, by a process that was thought gone:

1. begin a transaction of the target
2. read the rows from the source
3. delete and upsert; the target's rows are locked from here on
4. when step 2 was more than a moment ago, read again and go on at step 3 unless it is still the same
5. commit; a transaction that rests for longer than a moment is ended by the target
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from time import monotonic
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.replay.keys import KeyMismatch
from meepo2_cdc.replay.sink import Context, Rejected, TryAgain
from meepo2_connectors.sql_replicator.names import Name
from meepo2_connectors.sql_replicator.plan import Key, Plan, Row
from meepo2_connectors.sql_replicator.plans import Plans
from meepo2_connectors.sql_replicator.refusals import Outdated, Refusal
from meepo2_connectors.sql_replicator.settings import Settings
from meepo2_connectors.sql_replicator.statements import Values
from meepo2_connectors.sql_replicator.target import KEYS, Target
from meepo2_connectors.sql_replicator.values import Unfit

if TYPE_CHECKING:
    from meepo2_cdc.replay.rows import SourceRows

log = structlog.get_logger()

FRESH_SECONDS = 2.0
"""The age of a row at its commit, at most.  With what the target allows a transaction to rest it stays below the six
seconds that Kafka takes at least to give a member's partitions to another."""
_READS = 5
_DEFINITION_TRIES = 3


@dataclass(slots=True)
class _Changes:
    """What the source says of some keys, as the target is to have it."""

    upserts: dict[Key, Values] = field(default_factory=dict)
    deletes: dict[Key, Values] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Failures:
    """What could not be applied, each with the reason."""

    rejected: dict[Key, str] = field(default_factory=dict)
    later: dict[Key, str] = field(default_factory=dict)


class SqlSink:
    """Writes what rows are now, and removes those that are gone."""

    def __init__(self, own: Settings, context: Context, clock: Callable[[], float] = monotonic) -> None:
        self._own = own
        self._open_rows = context.source_rows
        self._clock = clock
        self._target = Target(own)
        self._rows: SourceRows
        self._plans: Plans

    def open(self) -> None:
        self._target.open()
        self._rows = self._open_rows()
        self._plans = Plans(self._own, self._target, self._rows)

    def close(self) -> None:
        self._target.close()
        self._rows.close()

    def apply(self, batch: Sequence[TableAction]) -> None:
        try:
            for name, records in _by_table(batch).items():
                self._apply_table(name, records)
            for name in dict.fromkeys((one.schema, one.table) for one in batch if one.action is Action.TRUNCATE):
                self._truncate(name)
        except Outdated as error:
            self._plans.forget_all()
            raise TryAgain(f"a definition changed meanwhile: {error}") from None

    def _apply_table(self, name: Name, records: dict[Key, list[TableAction]]) -> None:
        failures = _Failures()
        self._refresh_apart(name, sorted(records, key=_order), failures)
        for why, pks in _by_reason(failures.rejected).items():
            raise Rejected(why, [one for pk in pks for one in records[pk]])
        for why, pks in _by_reason(failures.later).items():
            raise TryAgain(why, [one for pk in pks for one in records[pk]])

    def _refresh_apart(self, name: Name, pks: Sequence[Key], failures: _Failures, *, certain: bool = False) -> None:
        """All at once; in halves where the target refuses, until what it refuses is alone."""
        try:
            failures.rejected |= self._refresh(name, pks, certain=certain)
        except Refusal as refusal:
            if len(pks) == 1:
                self._settle(name, pks[0], refusal, failures)
                return
            middle = len(pks) // 2
            self._refresh_apart(name, pks[:middle], failures, certain=certain)
            self._refresh_apart(name, pks[middle:], failures, certain=certain)

    def _settle(self, name: Name, pk: Key, refusal: Refusal, failures: _Failures) -> None:
        """A key that is taken may be free in a moment: whoever has it in the target has another one in the source."""
        if refusal.kind == "unique":
            try:
                failures.rejected |= self._displace(name, pk)
                return
            except Refusal as again:
                refusal = again
        reasons = failures.rejected if refusal.kind == "value" else failures.later
        reasons[pk] = f"{self._target.name} refuses a row of {'.'.join(name)}: {refusal.why}"

    def _displace(self, name: Name, pk: Key) -> dict[Key, str]:
        """The row together with those that are in its way, and in theirs, which are all written anew."""
        together = {pk}
        while len(together) <= KEYS:
            new = self._in_the_way(name, together) - together
            if not new:
                break
            together |= new
        return self._refresh(name, sorted(together, key=_order), certain=True, anew=True)

    def _in_the_way(self, name: Name, pks: Iterable[Key]) -> set[Key]:
        """Rows of the target that have, in a unique key, what these are to have."""
        plan = self._plan(name)
        changes = self._read(name, list(pks))
        with self._target.reading() as connection:
            found = [one for row in changes.upserts.values() for one in plan.statements.holders(connection, row)]
        try:
            return {plan.pk_of(one) for one in found}
        except Unfit as error:
            raise Refusal(f"another row has its values in a unique key, and {error}", "value") from None

    # -- the rows of some keys

    def _refresh(self, name: Name, pks: Sequence[Key], *, certain: bool = False, anew: bool = False) -> dict[Key, str]:
        """
        Makes the target's rows those of the source; returns what does not fit into it.

        With `certain` they are read again under lock in any case: somebody else may be writing them.  With `anew` rows
        are deleted before they are written.
        """
        for tries in count(1):
            if self._plans.of(name) is None:
                break
            try:
                return self._refresh_once(name, pks, certain, anew)
            except Outdated as error:
                if tries == _DEFINITION_TRIES:
                    raise ConfigError(f"{self._target.name} does not take rows of {'.'.join(name)}: {error}") from None
                self._plans.forget(name)
        self._plans.skip(name, len(pks))
        return {}

    def _refresh_once(self, name: Name, pks: Sequence[Key], certain: bool, anew: bool) -> dict[Key, str]:
        with self._target.transaction() as connection:
            read_at = self._clock()
            changes = self._read(name, pks)
            self._write(connection, name, changes, anew)
            for _ in range(_READS):
                if not certain and self._clock() - read_at < FRESH_SECONDS:
                    return changes.refused
                read_at = self._clock()
                now = self._read(name, pks)
                certain = now != changes
                if certain:
                    self._write(connection, name, now, anew)
                changes = now
            raise TryAgain(f"rows of {'.'.join(name)} change faster than they are written")

    def _write(self, connection: Connection, name: Name, changes: _Changes, anew: bool) -> None:
        plan = self._plan(name)
        self._target.guard(connection)
        deletes = list(changes.deletes.values())
        if anew:
            deletes += [plan.statements.key_of(row) for row in changes.upserts.values()]
        if deletes:
            plan.statements.delete(connection, deletes)
        if changes.upserts:
            plan.statements.upsert(connection, list(changes.upserts.values()))

    def _read(self, name: Name, pks: Sequence[Key]) -> _Changes:
        changes = _Changes()
        rows = self._fetch(name, pks, changes)
        plan = self._plan(name)
        if not plan.covers(rows):
            self._plans.forget(name)
            raise TryAgain(f"{'.'.join(name)} was altered while its rows were read")
        for pk in pks:
            if pk in changes.refused:
                continue
            try:
                row = _row_of(plan, rows, pk)
                if row is None:
                    changes.deletes[pk] = plan.key_of(pk)
                else:
                    changes.upserts[pk] = plan.values_of(row)
            except Unfit as error:
                changes.refused[pk] = str(error)
        return changes

    def _fetch(self, name: Name, pks: Sequence[Key], changes: _Changes) -> dict[Key, Row]:
        try:
            return dict(self._rows.fetch(*name, pks))
        except KeyMismatch as error:
            changes.refused |= dict.fromkeys(error.pks, str(error))
            return dict(self._rows.fetch(*name, [pk for pk in pks if pk not in changes.refused]))

    def _plan(self, name: Name) -> Plan:
        plan = self._plans.of(name)
        if plan is None:
            raise Outdated("the target's table is gone")
        return plan

    # -- all rows of a table

    def _truncate(self, name: Name) -> None:
        """Every row that the target has is compared with the source, and read again before it is deleted."""
        plan = self._plans.of(name)
        if plan is None:
            self._plans.skip(name, 1)
            return
        for pks in self._held(name, plan):
            doubtful = pks if plan.tells_spellings_apart else self._gone(name, pks)
            if doubtful:
                self._remove_gone(name, doubtful)

    def _gone(self, name: Name, pks: list[Key]) -> list[Key]:
        try:
            existing = self._rows.existing(*name, pks)
        except KeyMismatch as error:
            log.warning("Rows were kept at a truncate", table=".".join(name), rows=len(error.pks), why=str(error))
            return self._gone(name, [pk for pk in pks if pk not in error.pks])
        return [pk for pk in pks if pk not in existing]

    def _remove_gone(self, name: Name, pks: list[Key]) -> None:
        """The keys are also those of other workers, elsewhere, which may be writing them."""
        failures = _Failures()
        self._refresh_apart(name, sorted(pks, key=_order), failures, certain=True)
        for why, kept in _by_reason(failures.rejected | failures.later).items():
            log.warning("Rows were kept at a truncate", table=".".join(name), rows=len(kept), why=why)

    def _held(self, name: Name, plan: Plan) -> Iterator[list[Key]]:
        """The keys of the target's rows, some at a time; what no record could name is kept, and told."""
        with self._target.reading() as connection:
            keys = plan.statements.keys(connection)
            if not self._target.streams:
                keys = iter(list(keys))
                connection.rollback()
            while some := list(islice(keys, KEYS)):
                yield self._named(name, plan, some)

    def _named(self, name: Name, plan: Plan, keys: Iterable[Sequence[object]]) -> list[Key]:
        named, odd = [], 0
        for key in keys:
            try:
                named.append(plan.pk_of(key))
            except Unfit:
                odd += 1
        if odd:
            log.warning("Rows whose keys no record can name were kept at a truncate", table=".".join(name), rows=odd)
        return named


def _row_of(plan: Plan, rows: dict[Key, Row], pk: Key) -> Row | None:
    """The row of exactly this key: one that the source only takes for equal has a record of its own."""
    row = rows.get(pk)
    if row is None or (plan.tells_spellings_apart and plan.own_key(row) != pk):
        return None
    return row


def _by_table(batch: Sequence[TableAction]) -> dict[Name, dict[Key, list[TableAction]]]:
    found: defaultdict[Name, defaultdict[Key, list[TableAction]]] = defaultdict(lambda: defaultdict(list))
    for one in batch:
        if one.action is not Action.TRUNCATE:
            found[one.schema, one.table][one.pk].append(one)
    return {name: dict(records) for name, records in found.items()}


def _by_reason(failed: dict[Key, str]) -> dict[str, list[Key]]:
    found: defaultdict[str, list[Key]] = defaultdict(list)
    for pk, why in failed.items():
        found[why].append(pk)
    return found


def _order(pk: Key) -> list[tuple[str, object]]:
    """One order for all who write, so that nobody waits for somebody who waits for him."""
    return [(type(part).__name__, part) for part in pk]
