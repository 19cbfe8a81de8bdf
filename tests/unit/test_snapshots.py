"""
Snapshots beside a stream: what a chunk says and when, decided without a server.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meepo2_cdc.capture.binlog.tables import TableLayout
from meepo2_cdc.capture.binlog.transactions import Position, Rows, Transaction, Truncate
from meepo2_cdc.capture.snapshot import progress, requests
from meepo2_cdc.capture.snapshot.chunks import Changed, Chunk, TableRead
from meepo2_cdc.capture.snapshot.inbox import Inbox
from meepo2_cdc.capture.snapshot.keyed_table import Gone
from meepo2_cdc.capture.snapshot.requests import Cancel, Pause, Request, Resume, Start
from meepo2_cdc.capture.snapshot.snapshots import Snapshots
from meepo2_cdc.capture.snapshot.watermarks import Gtids
from meepo2_cdc.errors import ConfigError, SourceUnavailable, UnreadableData
from meepo2_cdc.records import Action
from meepo2_cdc.records.position import MysqlGtidSet
from meepo2_cdc.records.snapshot import Outcome, Snapshot, TableName
from meepo2_cdc.table_filter import TableFilter

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
ORDERS, USERS = TableName("shop", "orders"), TableName("shop", "users")


def at(number: int) -> Position:
    return Position("binlog.000001", number * 100, MysqlGtidSet(f"{UUID}:1-{number}" if number else ""))


def changed(table: TableName, *keys: bytes) -> Rows:
    transaction = Transaction(None, 0, 0, "binlog.000001", 4, open=True)
    return Rows(TableLayout(*table, (), ()), Action.DELETE, list(keys), transaction, 0)


class Source:
    identity = "a"
    flavor = "mysql"
    has_gtids = True


class Requests:
    """A control topic in memory."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.taken = 0

    def open(self, offset: int | None) -> None:
        self.taken = offset or 0

    def take(self) -> Sequence[tuple[int, bytes]]:
        found = list(enumerate(self.sent, 1))[self.taken :]
        self.taken = len(self.sent)
        return found

    def close(self) -> None:
        """Nothing is held."""


class Server:
    """Chunks that have seen everything up to `seen`; asked at once, or when `land` is called."""

    def __init__(self) -> None:
        self.seen = 0
        self.rows = [b"1", b"2", b"3", b"4", b"5"]
        self.error: Exception | None = None
        self.identity = "a"

    def read(self, table: TableRead, limit: int, position: Position, identity: str) -> Chunk | None:
        if table.is_over or table.abandoned:
            return None
        if self.error is not None:
            raise self.error
        first = 0 if table.after is None else self.rows.index(table.after[0]) + 1
        keys = self.rows[first : first + limit]
        table.after = (keys[-1],) if keys else table.after
        table.is_over = len(keys) < limit
        mark = Gtids(MysqlGtidSet(f"{UUID}:1-{self.seen}" if self.seen else ""))
        return Chunk(
            keys, table.after, (self.rows[-1],), "id int", 5, False, table.is_over, mark, self.identity, 0, 0.0
        )

    def close(self) -> None:
        """Nothing is held."""


class AtOnce(ThreadPoolExecutor):
    """Runs each job where it is submitted, or later where it `holds`."""

    def __init__(self) -> None:
        super().__init__(1)
        self.holds = False
        self.held: list[Any] = []

    def submit(self, job: Any, /, *values: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job(*values, **named))
                except Exception as error:  # noqa: BLE001 - as an executor does
                    future.set_exception(error)

        if self.holds:
            self.held.append(run)
        else:
            run()
        return future


class Bench:
    def __init__(self, *asked: Request) -> None:
        self.source, self.server, self.executor, self.control = Source(), Server(), AtOnce(), Requests()
        inbox = Inbox(self.control, TableFilter(["shop.*"]), lambda: [ORDERS, USERS])
        self.time = 0.0
        self.snapshots = Snapshots(
            self.source, self.server, self.executor, inbox, most_rows=2, clock=lambda: self.time, now=lambda: NOW
        )
        self.snapshots.restore((), None)
        self.ask(*asked)

    def ask(self, *asked: Request) -> None:
        self.control.sent += map(requests.encoded, asked)

    def given(self, position: Position) -> list[list[bytes]]:
        """The chunks that are due at a place."""
        found = []
        while (rows := self.snapshots.due(position)) is not None:
            assert rows.transaction.snapshot
            found.append(rows.keys)
            self.snapshots.given_out()
        self.snapshots.go_on(position)
        return found

    def until_over(self, position: Position) -> list[list[bytes]]:
        found: list[list[bytes]] = []
        for _ in range(20):
            found += self.given(position)
        return found

    @property
    def last(self) -> Snapshot:
        return self.snapshots.state[-1]


def test_a_table_comes_in_chunks_and_is_over() -> None:
    """The base of all that follows."""
    bench = Bench(Start((ORDERS,)))
    assert bench.until_over(at(0)) == [[b"1", b"2"], [b"3", b"4"], [b"5"]]
    assert [(one.table, one.outcome, one.rows) for one in bench.last.ended] == [("orders", Outcome.DONE, 5)]
    assert bench.snapshots.control_offset == 1


def test_a_chunk_waits_for_the_place_that_it_may_have_seen() -> None:
    """Before it, a row that is written by then would be told of while the stream knows nothing of it."""
    bench = Bench(Start((ORDERS,)))
    bench.server.seen = 3
    assert bench.given(at(1)) == []
    assert bench.given(at(2)) == []
    assert bench.given(at(3)) == [[b"1", b"2"], [b"3", b"4"]]


def test_keys_that_the_stream_gave_out_since_a_chunk_was_asked_for_are_left_out() -> None:
    """The chunk may have read them before; told behind their delete, they would come back."""
    bench = Bench(Start((ORDERS,)))
    bench.server.seen = 2
    bench.given(at(1))
    bench.snapshots.saw(changed(ORDERS, b"2"))
    bench.snapshots.saw(changed(USERS, b"1"))
    assert bench.given(at(2)) == [[b"1"], [b"3", b"4"]]
    assert bench.last.current is not None
    assert bench.last.current.rows == 4, "what is left out is done all the same"


def test_changes_before_a_chunk_was_asked_for_do_not_matter() -> None:
    """It has seen them; leaving out more and more would leave nothing of a busy table."""
    bench = Bench(Start((ORDERS,)))
    bench.snapshots.saw(changed(ORDERS, b"1"))
    assert bench.until_over(at(1))[0] == [b"1", b"2"]


@pytest.mark.parametrize(
    "doubt",
    [
        lambda bench: bench.snapshots.lost(),
        lambda bench: bench.snapshots.saw_truncate(Truncate(*ORDERS, changed(ORDERS).transaction)),
        lambda bench: bench.snapshots.saw_definition("shop", "ALTER TABLE orders ADD COLUMN x INT"),
        lambda bench: setattr(bench.source, "identity", "b") or setattr(bench.server, "identity", "b"),
    ],
    ids=["reconnected", "truncated", "altered", "another server"],
)
def test_what_is_in_doubt_is_read_again(doubt: Any) -> None:
    """After each of these a chunk may hold what is not so any more, or what is another server's."""
    bench = Bench(Start((ORDERS,)))
    bench.server.seen = 2
    bench.given(at(1))
    bench.executor.holds = True
    bench.server.rows = [b"6", b"7"]
    doubt(bench)
    assert bench.given(at(2)) == []
    bench.executor.holds = False
    for job in bench.executor.held:
        job()
    assert bench.until_over(at(2)) == [[b"6", b"7"], []]


def test_a_chunk_that_takes_so_long_that_memory_would_fill_is_read_again() -> None:
    """A large transaction on the very table must not end the capture; and its keys may not be forgotten either."""
    bench = Bench(Start((ORDERS,)))
    bench.executor.holds = True
    bench.given(at(1))
    bench.snapshots.saw(changed(ORDERS, *(str(n).encode() for n in range(300_000))))
    for job in bench.executor.held:
        job()
    bench.executor.holds = False
    bench.server.rows = [b"6", b"7"]
    assert bench.until_over(at(2)) == [[b"6", b"7"], []]


def test_of_a_chunk_that_has_come_only_its_own_keys_are_remembered() -> None:
    """While a large transaction goes by, a chunk waits for its end, and memory must not grow with it."""
    bench = Bench(Start((ORDERS,)))
    bench.server.seen = 2
    bench.given(at(1))
    bench.snapshots.saw(changed(ORDERS, b"2", *(f"x{n}".encode() for n in range(300_000))))
    bench.snapshots.saw(changed(ORDERS, b"3", *(f"y{n}".encode() for n in range(300_000))))
    assert bench.given(at(2)) == [[b"1"], [b"4"]]


def test_a_definition_of_another_table_disturbs_nothing() -> None:
    """Where tables are made all day, no chunk would ever be given out."""
    bench = Bench(Start((ORDERS,)))
    bench.server.seen = 2
    bench.given(at(1))
    bench.snapshots.saw_definition("shop", "CREATE TABLE carts (id INT PRIMARY KEY)")
    assert bench.given(at(2)) == [[b"1", b"2"], [b"3", b"4"]]


def test_a_source_that_is_away_is_asked_again_after_a_pause() -> None:
    """A table without its rows is no snapshot; a question without end is a load on a server that just starts."""
    bench = Bench(Start((ORDERS,)))
    bench.server.error = SourceUnavailable("it is away")
    bench.given(at(1))
    assert bench.given(at(1)) == []
    bench.server.error = Changed("it was altered")
    bench.time = 2.0
    bench.given(at(1))
    bench.server.error = None
    assert bench.until_over(at(1)) == []
    bench.time = 4.0
    assert len(bench.until_over(at(1))) == 3


def test_a_table_that_is_gone_ends_with_its_name_and_the_next_one_is_read() -> None:
    """One dropped table must neither hold up the others nor go unnoticed."""
    bench = Bench(Start((ORDERS, USERS)))
    bench.server.error = Gone("shop.orders does not exist")
    bench.given(at(1))
    bench.snapshots.due(at(1))
    bench.server.error = None
    assert len(bench.until_over(at(1))) == 3
    assert [(one.table, one.outcome, one.why) for one in bench.last.ended] == [
        ("orders", Outcome.GONE, "shop.orders does not exist"),
        ("users", Outcome.DONE, ""),
    ]


def test_a_server_without_gtids_is_refused_with_what_to_do() -> None:
    """Its file positions run ahead of what queries see: deleted rows would come back."""
    bench = Bench(Start((ORDERS,)))
    bench.source.has_gtids = False
    assert bench.until_over(at(1)) == []
    assert [one.outcome for one in bench.last.ended] == [Outcome.REFUSED]
    assert "Switch GTIDs on" in bench.last.ended[0].why
    with pytest.raises(ConfigError, match="gtid_mode OFF"):
        bench.snapshots.begin_with_all()


def test_a_paused_snapshot_lets_the_next_one_by_and_goes_on_where_it_was() -> None:
    """Read from its beginning again, a large table would never be over."""
    bench = Bench(Start((ORDERS,), id="one"), Start((USERS,), id="two"))
    bench.given(at(1))
    bench.executor.holds = True
    assert bench.given(at(1)) == [[b"1", b"2"], [b"3", b"4"]]
    bench.ask(Pause("one"))
    bench.executor.holds = False
    assert bench.until_over(at(1)) == [[b"1", b"2"], [b"3", b"4"], [b"5"]]
    bench.ask(Resume())
    assert bench.until_over(at(1)) == [[b"5"]]
    assert [one.is_over for one in bench.snapshots.state] == [True, True]


def test_a_cancelled_table_ends_and_the_others_go_on() -> None:
    """Cancelling one by mistake for all would cost the night."""
    bench = Bench(Start((ORDERS, USERS)))
    bench.given(at(1))
    bench.ask(Cancel(tables=(ORDERS,)))
    bench.until_over(at(1))
    assert [(one.table, one.outcome) for one in bench.last.ended] == [
        ("orders", Outcome.CANCELLED),
        ("users", Outcome.DONE),
    ]


def test_a_rate_is_kept() -> None:
    """A snapshot that may not disturb the source must not come in bursts."""
    bench = Bench(Start((ORDERS,), rate=1))
    bench.given(at(1))
    assert bench.given(at(1)) == [[b"1"]]
    assert bench.until_over(at(1)) == []
    bench.time = 1.0
    bench.given(at(1))
    assert bench.until_over(at(1)) == [[b"2"]]


def test_patterns_mean_the_tables_that_are_captured() -> None:
    """A name with a star in it is no table."""
    bench = Bench(Start((TableName("shop", "*"),)))
    bench.until_over(at(1))
    assert [one.table for one in bench.last.ended] == ["orders", "users"]


def test_a_request_that_cannot_be_read_is_passed_over() -> None:
    """It would stand in the way of all that follow, after each restart again."""
    bench = Bench()
    bench.control.sent += [b"not JSON", b'{"v": 2, "do": "snapshot"}', json.dumps({"v": 1, "do": "snapshot"}).encode()]
    bench.ask(Start((TableName("nowhere", "*"),)), Start((ORDERS,)))
    bench.until_over(at(1))
    assert bench.snapshots.control_offset == 5
    assert [one.table for one in bench.last.ended] == ["orders"]


@pytest.mark.parametrize(
    "request_",
    [
        Start((ORDERS, USERS), "a > 'ä'", 100, 7),
        Start((ORDERS,)),
        Pause("x"),
        Pause(),
        Resume("x"),
        Cancel("x", (USERS,)),
    ],
)
def test_a_request_comes_out_of_its_bytes(request_: Request) -> None:
    """What is asked and what is heeded must be the same."""
    assert requests.decoded(requests.encoded(request_)) == request_


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"v":1,"do":"snapshot","tables":[]}', b'{"v":1,"do":"drop"}'])
def test_what_is_no_request_is_refused(raw: bytes) -> None:
    """Anything may lie in a topic."""
    with pytest.raises(UnreadableData):
        requests.decoded(raw)


def test_a_checkpoint_does_not_grow_with_what_is_over() -> None:
    """It is written with every batch; but what was not done must not be forgotten first."""
    one = Snapshot("x", NOW, None, 10, None, waiting=tuple(TableName("s", f"t{n}") for n in range(200)))
    for n in range(200):
        one = progress.begun(one, NOW)
        one = progress.end(one, Outcome.REFUSED if n == 0 else Outcome.DONE, "", NOW + timedelta(seconds=n))
    assert one.tables_ended == 200
    assert len(one.ended) == progress.KEPT_ENDS
    assert one.ended[0].table == "t0"
    state: tuple[Snapshot, ...] = ()
    for _ in range(30):
        (*before, last) = progress.heed(state, Start((ORDERS,)), NOW)
        state = (*before, progress.end(progress.begun(last, NOW), Outcome.DONE, "", NOW))
    assert len(state) <= progress.KEPT_SNAPSHOTS + 1
