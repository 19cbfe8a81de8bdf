"""
Events of a log as changes and positions: what no server can be brought to write, or only by accident.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import pytest

from meepo2_cdc.capture.binlog import savepoints, xa
from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.stream import ARTIFICIAL, Event
from meepo2_cdc.capture.binlog.transactions import Position, Rows, Since
from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.table_filter import TableFilter
from tests.simulation import log_events as ev
from tests.simulation.history import INT, Table
from tests.simulation.source import SimCatalog

SERVER = UUID("3e11fa47-71ca-11e1-9e33-c80aa9429562")
ITEM = Table("shop", "item", (("id", INT),), (0,))
OTHER = Table("crm", "item", (("id", INT),), (0,))
BEGIN, COMMIT = (ev.QUERY, ev.query("shop", "BEGIN")), (ev.XID, bytes(8))
SECOND_US = 1_000_000


class Log:
    """Events one behind the other in one file, at the times and of the servers that are said."""

    def __init__(self) -> None:
        self.at = 4
        self.server_id = 1

    def event(self, kind: int, body: bytes, *, flags: int = 0) -> Event:
        size = 19 + len(body)
        self.at += 0 if flags else size
        return Event(kind, 1_700_000_000, self.server_id, size, 0 if flags else self.at, flags, body, 0, len(body))

    def transaction(self, number: int | None, *events: tuple[int, bytes], at_us: int = 1) -> list[Event]:
        if number is None:
            gtid = ev.ANONYMOUS_GTID, ev.gtid(None, 0, at_us)
        else:
            gtid = ev.GTID, ev.gtid(SERVER, number, at_us)
        return [self.event(*one) for one in (gtid, *events)]

    def rotate(self, file: str, position: int) -> Event:
        self.at = position
        return self.event(ev.ROTATE, ev.rotate(file, position), flags=ARTIFICIAL)

    def previous(self, last: int) -> Event:
        return self.event(ev.PREVIOUS_GTIDS, ev.previous_gtids({SERVER: [(1, last)]} if last else {}))


class Stream:
    def __init__(self, events: list[Event]) -> None:
        self._events = events

    def events(self) -> Iterator[Event | None]:
        yield from self._events


def rows_of(*ids: int, table: Table = ITEM) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    body = ev.rows(1, table, [((one,),) for one in ids], last=True, version=2)
    return (ev.TABLE_MAP, ev.table_map(1, table)), (ev.ROWS["write"], body)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def reader() -> ChangeReader:
    return made()


def made(*, skip: bool = False, position: Position | None = None) -> ChangeReader:
    catalog: Any = SimCatalog()
    where = position or Position("binlog.000001", 4, None)
    return ChangeReader(where, TableFilter(["shop.*"]), catalog, since=Since(), learn_gtids=True, skip_unreadable=skip)


def read(reader: ChangeReader, events: list[Event]) -> list[int]:
    """The numbers of rows that each change of rows has."""
    return [change.row_count for change in reader.changes(Stream(events)) if isinstance(change, Rows)]


# -- global ids


def test_ids_that_a_file_tells_count_from_the_first_transaction_that_has_one(reader: ChangeReader, log: Log):
    """By an empty set the server would leave out the transactions without ids that follow."""
    read(reader, [log.previous(0)])
    assert reader.reading.gtids is None
    read(reader, log.transaction(1, BEGIN, *rows_of(1), COMMIT))
    assert str(reader.reading.gtids) == f"{SERVER}:1"


def test_among_transactions_without_ids_the_position_is_a_file(reader: ChangeReader, log: Log):
    """A set of ids does not say how many of them are done: going on by it repeats them, or leaves them out."""
    read(reader, [log.previous(5), *log.transaction(6, BEGIN, COMMIT), *log.transaction(None, BEGIN, COMMIT)])
    assert (reader.reading.gtids, reader.reading.offset) == (None, log.at)
    read(reader, [log.previous(6), *log.transaction(7, BEGIN, COMMIT)])
    assert str(reader.reading.gtids) == f"{SERVER}:1-7"


# -- other servers


def test_a_file_of_the_same_name_on_another_server_begins_anew(reader: ChangeReader, log: Log):
    """The offset of the old one would be taken for its own, and be said in checkpoints."""
    read(reader, [log.rotate("binlog.000003", 4), *log.transaction(1, BEGIN, COMMIT)])
    before = reader.reading
    read(reader, [log.rotate("binlog.000003", 4)])
    assert reader.reading == before, "the same server goes on where it was"
    log.server_id = 2
    read(reader, [log.rotate("binlog.000003", 4)])
    assert (reader.reading.file, reader.reading.offset) == ("binlog.000003", 4)


# -- transactions without an end


def test_a_transaction_that_has_no_end_stops_the_capture(reader: ChangeReader, log: Log):
    """Its rows are published, and whatever became of it nobody knows."""
    events = [*log.transaction(1, BEGIN, *rows_of(1)), *log.transaction(2, BEGIN, *rows_of(2), COMMIT)]
    with pytest.raises(UnreadableData, match=f"a transaction without an end.*transaction {SERVER}:1"):
        read(reader, events)


def test_an_incident_that_is_passed_over_ends_its_transaction(log: Log):
    """It is noted once, and what follows is read."""
    reader = made(skip=True)
    incident = 26, struct.pack("<HB", 1, 0)
    assert read(reader, [*log.transaction(1, incident), *log.transaction(2, BEGIN, *rows_of(2), COMMIT)]) == [1]


# -- XA


def xa_start(xid: str) -> tuple[int, bytes]:
    return ev.QUERY, ev.query("shop", f"XA START {ev.xid_text(xid)}")


def prepared(log: Log, number: int, xid: str, table: Table, at_us: int) -> list[Event]:
    prepare = ev.XA_PREPARE, ev.xa_prepare(xid, one_phase=False)
    return log.transaction(number, xa_start(xid), *rows_of(number, table=table), prepare, at_us=at_us)


@pytest.mark.parametrize(("table", "holds"), [(ITEM, True), (OTHER, False)], ids=["captured", "not captured"])
def test_only_captured_rows_hold_the_place_of_an_orphan(reader: ChangeReader, log: Log, table: Table, holds: bool):
    """One that nobody decides would hold it until the log is purged there, and no start would be possible any more."""
    begins = log.at
    read(reader, prepared(log, 1, "a", table, SECOND_US))
    at_once = reader.position.undecided
    assert at_once is not None
    assert at_once.offset == begins
    read(reader, log.transaction(2, BEGIN, COMMIT, at_us=SECOND_US + xa.PATIENCE_US))
    assert (reader.position.undecided is not None) == holds


def test_an_orphan_without_captured_rows_hides_no_other(reader: ChangeReader, log: Log):
    """The earliest that has rows is the one to begin at."""
    read(reader, prepared(log, 1, "a", OTHER, SECOND_US))
    begins = log.at
    read(reader, prepared(log, 2, "b", ITEM, SECOND_US))
    read(reader, log.transaction(3, BEGIN, COMMIT, at_us=SECOND_US + xa.PATIENCE_US))
    undecided = reader.position.undecided
    assert undecided is not None
    assert undecided.offset == begins


# -- rows that cannot be read


def test_rows_that_are_passed_over_count_so_that_a_restart_that_can_read_them_goes_on_right(log: Log):
    """Settings change, and a table that was gone is there again: rows would be left out, and others repeated."""
    bad = ev.table_map(1, ITEM)[:-1] + b"\5"  # the key is a column that is not there
    unreadable = (ev.TABLE_MAP, bad), rows_of(1, 2, 3)[1]
    events = log.transaction(1, BEGIN, *rows_of(0), *unreadable, *rows_of(4), *rows_of(5), COMMIT)
    skipping = made(skip=True)
    changes = (change for change in skipping.changes(Stream(events)) if isinstance(change, Rows))
    assert [(one.first_row, one.row_count) for one in islice(changes, 2)] == [(0, 1), (4, 1)]

    at = skipping.reading
    assert at.rows_done == 5
    readable = log.transaction(1, BEGIN, *rows_of(0), *rows_of(1, 2, 3), *rows_of(4), *rows_of(5), COMMIT)
    resumed = made(position=at)
    assert [one.first_row for one in resumed.changes(Stream(readable)) if isinstance(one, Rows)] == [5]


# -- savepoints


def query(statement: str) -> tuple[int, bytes]:
    return ev.QUERY, ev.query("shop", statement)


def test_rows_behind_a_savepoint_are_given_in_order_when_their_transaction_ends(reader: ChangeReader, log: Log):
    """Held rows that are forgotten are lost, and those that come too early have another number."""
    events = log.transaction(
        1,
        BEGIN,
        *rows_of(1),
        query("SAVEPOINT `a`"),
        *rows_of(2, 3),
        query("ROLLBACK TO `a`"),
        *rows_of(4, 5, 6),
        COMMIT,
    )
    found = [change for change in reader.changes(Stream(events)) if isinstance(change, Rows)]
    assert [(one.first_row, one.row_count) for one in found] == [(0, 1), (1, 3)]


def test_a_transaction_behind_a_savepoint_is_resumed_inside(log: Log):
    """The rows that wait are given while it is still in progress, and are counted like others."""
    events = log.transaction(1, BEGIN, *rows_of(1), query("SAVEPOINT a"), *rows_of(2), *rows_of(3), COMMIT)
    reader = made()
    changes = (change for change in reader.changes(Stream(events)) if isinstance(change, Rows))
    assert [one.row_count for one in islice(changes, 2)] == [1, 1]
    at = reader.reading
    assert (at.rows_done, at.gtid) == (2, f"{SERVER}:1")
    assert read(made(position=at), events) == [1]


@pytest.fixture
def few_are_held(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda limit: monkeypatch.setattr(savepoints, "HELD_LIMIT", limit)


def test_too_many_rows_behind_a_savepoint_are_not_held(
    reader: ChangeReader, log: Log, few_are_held: Callable[[int], None]
):
    """Memory is bounded; that they were undone stops the capture then, since they are told."""
    few_are_held(2)
    events = log.transaction(
        1, BEGIN, query("SAVEPOINT a"), *rows_of(1), *rows_of(2), query("SAVEPOINT b"), *rows_of(3)
    )
    changes = reader.changes(Stream([*events, *(log.event(*one) for one in (query("ROLLBACK TO b"), COMMIT))]))
    assert [change.row_count for change in changes if isinstance(change, Rows)] == [1, 1]

    reader = made()
    events = [*events, log.event(*query("ROLLBACK TO a"))]
    with pytest.raises(UnreadableData, match="ROLLBACK TO a behind rows that it undid"):
        read(reader, events)


def test_going_back_to_a_savepoint_that_was_not_seen_stops_the_capture(reader: ChangeReader, log: Log):
    """What is undone is not known, and is told already."""
    with pytest.raises(UnreadableData, match="ROLLBACK TO a behind rows"):
        read(reader, log.transaction(1, BEGIN, *rows_of(1), query("ROLLBACK TO a"), COMMIT))


def test_a_transaction_that_is_rolled_back_whole_is_forgotten_while_its_rows_wait(reader: ChangeReader, log: Log):
    """Nothing of it is told, so nothing has to stop."""
    assert read(reader, log.transaction(1, BEGIN, query("SAVEPOINT a"), *rows_of(1), query("ROLLBACK"))) == []
