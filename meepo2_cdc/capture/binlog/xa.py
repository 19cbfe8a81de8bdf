"""
XA transactions, from their prepare to their decision.

Their rows are in the log at the prepare; whether they count is told later, perhaps in another file, or never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.stream import Event
from meepo2_cdc.capture.binlog.transactions import Change, Position, Rows, Transaction, Undecided

PATIENCE_US = 12 * 3600 * 1_000_000
"""
For so long a prepared transaction without captured rows holds the place where reading begins after a restart.

It need not be read again for its rows, but to know at its commit that it had none.  One that nobody decides would hold
the place until the log is purged there, and the capture could not be started any more.
"""


class Reader(Protocol):
    """Who reads the log: gives rows out, ends transactions, and stops at what cannot be read."""

    @property
    def reading(self) -> Position: ...

    def give(self, rows: Rows) -> Iterable[Change]: ...

    def end(self, event: Event) -> Iterable[Change]: ...

    def refuse(self, event: Event, what: str) -> None: ...


class _Prepared(NamedTuple):
    """Captured rows, where to read them again, and when they were prepared by the source's clock."""

    rows: list[Rows]
    begins: Undecided
    prepared_us: int


class XaTransactions:
    """Those that wait for their decision, in the order in which they were prepared."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._waiting: dict[str, _Prepared] = {}

    def undecided(self, now_us: int) -> Undecided | None:
        """Where reading must begin after a restart, for the sake of the earliest that is waited for."""
        for one in self._waiting.values():
            if one.rows or now_us - one.prepared_us < PATIENCE_US:
                return one.begins
        return None

    def on_statement(
        self, event: Event, transaction: Transaction, verb: tuple[str, ...], statement: str
    ) -> Iterable[Change]:
        """XA followed by the verb."""
        xid = ev.xid_of(statement)
        if verb in (("START",), ("BEGIN",)):
            transaction.open, transaction.xa = True, xid
        elif verb == ("COMMIT",):
            return self._on_commit(event, transaction, xid)
        elif verb == ("ROLLBACK",):
            self._waiting.pop(xid, None)
        return () if transaction.open else self._reader.end(event)

    def on_prepare(self, event: Event, transaction: Transaction | None) -> Iterable[Change]:
        if transaction is None or transaction.xa is None:
            return self._reader.end(event)
        if ev.is_one_phase(event.buf, event.start):  # XA COMMIT ... ONE PHASE: no decision is left
            return self._give_held(event, transaction, transaction.held)
        at = self._reader.reading
        begins = Undecided(at.file, at.offset, at.gtids)
        self._waiting[transaction.xa] = _Prepared(transaction.held, begins, transaction.committed_us)
        return self._reader.end(event)

    def _on_commit(self, event: Event, transaction: Transaction, xid: str) -> Iterator[Change]:
        prepared = self._waiting.get(xid)
        if prepared is None and transaction.wanted:
            self._reader.refuse(
                event, f"the commit of the XA transaction {xid}, whose prepare was before the capture's start"
            )
        yield from self._give_held(event, transaction, prepared.rows if prepared else [], xid)

    def _give_held(
        self, event: Event, transaction: Transaction, held: list[Rows], xid: str | None = None
    ) -> Iterator[Change]:
        """Rows that were held belong to the transaction that decides, whose time and position they get."""
        for rows in held if transaction.wanted else ():
            yield from self._reader.give(rows._replace(transaction=transaction, first_row=transaction.rows))
        if xid is not None:
            self._waiting.pop(xid, None)  # only now: a checkpoint between the rows must still point back to them
        yield from self._reader.end(event)
