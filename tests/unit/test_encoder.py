"""
The encoder's bytes against fastavro's: the fast path and the slow one must not be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.capture.binlog.tables import TableLayout
from meepo2_cdc.capture.binlog.transactions import Rows, Transaction, Truncate
from meepo2_cdc.capture.encoder import Encoder, Topic
from meepo2_cdc.kafka.writer import ANY_PARTITION, Message
from meepo2_cdc.records import Action, KeyPart, Source, TableAction
from meepo2_cdc.records.avro import confluent_header, encode_action, encode_key
from tests.unit.row_writer import key_bytes

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY_HEADER, VALUE_HEADER = confluent_header(7), confluent_header(8)
COMMITTED_US = 1_767_323_045_123_456
GTID = "3e11fa47-71ca-11e1-9e33-c80aa9429562:23"

Pk = tuple[KeyPart, ...]


END_OF_TIME_MS = 1 << 62


class Desk:
    """An encoder, and what each of its messages should be."""

    def __init__(self, seq: int = 1_000, *, tombstones: bool = False, partitions: int = 3) -> None:
        self.opened: list[str] = []
        self._partitions = partitions
        self.tombstones = tombstones
        self.encoder = Encoder("db", seq, self._open, tombstones=tombstones, now_ms=lambda: END_OF_TIME_MS)
        self.seq = seq
        self.expected: dict[str, list[Message]] = {}

    def _open(self, schema: str, table: str) -> Topic:
        self.opened.append(f"{schema}.{table}")
        return Topic(f"x.{schema}.{table}", self._partitions, KEY_HEADER, VALUE_HEADER)

    def expect(
        self, action: Action, table: TableLayout, pk: Pk, at: Transaction, row: int, partition: int = ANY_PARTITION
    ) -> None:
        self.seq += 1
        source = Source("db", at.gtid, at.file, at.position, row)
        committed_at = EPOCH + timedelta(microseconds=at.committed_us)
        record = TableAction(action, table.schema, table.table, pk, committed_at, False, self.seq, source)
        key = encode_key(table.schema, table.table, pk, KEY_HEADER)
        messages = self.expected.setdefault(f"x.{table.schema}.{table.table}", [])
        messages.append((encode_action(record, VALUE_HEADER), key, partition, at.committed_us // 1000))
        if self.tombstones and action is Action.DELETE:
            messages.append((None, key, partition, at.committed_us // 1000))

    def add(self, action: Action, table: TableLayout, pks: Sequence[Pk], at: Transaction, first_row: int = 0) -> None:
        self.encoder.add_rows(Rows(table, action, [key_bytes(pk) for pk in pks], at, first_row))
        if action is not Action.UPDATE:
            for row, pk in enumerate(pks, first_row):
                self.expect(action, table, pk, at, row)
            return
        for row, (old, new) in enumerate(zip(pks[::2], pks[1::2], strict=True), first_row):
            if old == new:
                self.expect(Action.UPDATE, table, new, at, row)
            else:
                self.expect(Action.DELETE, table, old, at, row)
                self.expect(Action.WRITE, table, new, at, row)

    def check(self) -> None:
        messages, _ = self.encoder.take()
        assert messages == self.expected
        assert self.encoder.seq == self.seq
        self.expected = {}


def table(schema: str = "shop", name: str = "orders") -> TableLayout:
    return TableLayout(schema, name, (), ())


def transaction(
    gtid: str | None = GTID, committed_us: int = COMMITTED_US, position: int = 4711, file: str = "binlog.000001"
) -> Transaction:
    return Transaction(gtid, committed_us, committed_us, file, position, open=True)


parts = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=("Cs",))),
    st.binary(),
)
keys = st.lists(parts, min_size=1, max_size=3).map(tuple)
transactions = st.builds(
    transaction,
    st.sampled_from((None, GTID, "0-1-99")),
    st.integers(0, 4_102_444_800_000_000),
    st.integers(4, 1 << 40),
    st.sampled_from(("binlog.000001", "mysql-bin.1000000")),
)


@given(
    st.integers(63, 1 << 53),
    st.booleans(),
    transactions,
    st.lists(
        st.tuples(
            st.sampled_from((Action.WRITE, Action.DELETE, Action.UPDATE)),
            st.lists(keys, min_size=1, max_size=8),
            st.booleans(),
        ),
        max_size=4,
    ),
)
def test_every_record_is_the_bytes_that_fastavro_writes(
    seq: int, tombstones: bool, at: Transaction, changes: list[tuple[Action, list[Pk], bool]]
):
    """Readers in other languages know the schema and nothing of our tables of ready bytes."""
    desk = Desk(seq, tombstones=tombstones)
    tables = table(), table("größe", "a b")
    row = 0
    for action, pks, which in changes:
        if action is Action.UPDATE:
            pks = [pk for pair in zip(pks, reversed(pks), strict=True) for pk in pair]
        desk.add(action, tables[which], pks, at, row)
        row += len(pks)
    desk.check()


@pytest.mark.parametrize("action", [Action.WRITE, Action.DELETE])
@pytest.mark.parametrize(
    "seq", [63, 64, 127, 128, 8190, 8191, 1_048_575, (1 << 20) - 130, (1 << 41) - 65, 1_767_323_045_123_000]
)
def test_seq_is_right_over_every_change_of_its_higher_bytes(seq: int, action: Action):
    """The higher bytes are kept for 64 records; kept one too long, new records are taken for repeated ones."""
    desk = Desk(seq)
    desk.add(action, table(), [(n,) for n in range(200)], transaction())
    desk.check()


@pytest.mark.parametrize("first_row", [0, 63, 8100, 8191, 8192, 1_048_500, 134_217_700])
def test_row_numbers_are_right_beyond_the_table_of_ready_bytes(first_row: int):
    """A transaction of millions of rows leaves it; a wrong number repeats rows after a restart."""
    desk = Desk()
    for action in (Action.WRITE, Action.DELETE):
        desk.add(action, table(), [(n,) for n in range(200)], transaction(), first_row)
    desk.add(Action.UPDATE, table(), [(n // 2,) for n in range(200)], transaction(), first_row)
    desk.check()


def test_a_changed_key_is_a_delete_and_a_write():
    """A replica that only hears the new key keeps the old row for ever."""
    desk = Desk(tombstones=True)
    desk.add(Action.UPDATE, table(), [(1,), (2,), (3,), (3,)], transaction())
    messages, counts = desk.encoder.take()
    assert messages == desk.expected
    assert counts["shop.orders"] == {Action.WRITE: 1, Action.UPDATE: 1, Action.DELETE: 1, Action.TRUNCATE: 0}


def test_with_compaction_a_delete_is_followed_by_its_tombstone():
    """Without it a compacted topic keeps the delete for ever; before it, the delete would be compacted away unread."""
    desk = Desk(tombstones=True)
    desk.add(Action.DELETE, table(), [(1,), (2,)], transaction())
    messages, counts = desk.encoder.take()
    values = [value is None for value, _, _, _ in messages["x.shop.orders"]]
    assert values == [False, True, False, True]
    assert messages == desk.expected
    assert counts["shop.orders"][Action.DELETE] == 2


def test_a_truncate_goes_to_every_partition_with_a_seq_of_its_own():
    """The table's keys are in all of them, and partitions are not ordered among themselves."""
    desk, at = Desk(partitions=5), transaction()
    desk.add(Action.WRITE, table(), [(1,)], at)
    at.rows = 2
    desk.encoder.add_truncate(Truncate("shop", "orders", at))
    for partition in range(5):
        desk.expect(Action.TRUNCATE, table(), (), at, 1, partition)
    desk.check()


def test_two_transactions_in_one_batch_keep_their_own_times_and_places():
    """What is encoded once for a transaction must not outlive it."""
    desk, orders = Desk(), table()
    for number in range(3):
        at = transaction(f"0-1-{number}", COMMITTED_US + number * 1_000_000, 4 + number)
        desk.add(Action.WRITE, orders, [(number,)], at)
    desk.check()


def test_what_was_taken_does_not_come_again():
    """It would be published twice."""
    desk = Desk()
    desk.add(Action.WRITE, table(), [(1,), (2,)], transaction())
    assert desk.encoder.rows == 2
    assert desk.encoder.bytes > 0
    desk.check()
    assert (desk.encoder.rows, desk.encoder.bytes) == (0, 0)
    assert desk.encoder.take() == ({}, {})
    desk.add(Action.WRITE, table(), [(3,)], transaction())
    desk.check()


def test_records_are_counted_by_table_and_action():
    """The operator asks which table is so busy; a count that is off by a table sends him to the wrong one."""
    desk = Desk()
    desk.add(Action.WRITE, table(), [(1,), (2,)], transaction())
    desk.add(Action.DELETE, table("shop", "items"), [(1,)], transaction())
    desk.add(Action.WRITE, table(), [(3,)], transaction())
    desk.encoder.add_truncate(Truncate("shop", "items", transaction()))
    _, counts = desk.encoder.take()
    found = {name: {action: n for action, n in actions.items() if n} for name, actions in counts.items()}
    assert found == {"shop.orders": {Action.WRITE: 3}, "shop.items": {Action.DELETE: 1, Action.TRUNCATE: 3}}


def test_a_topic_is_opened_once_a_table_however_many_layouts_it_has():
    """Each opening asks the broker and the registry."""
    desk = Desk()
    for _ in range(3):
        desk.add(Action.WRITE, table(), [(1,)], transaction())
    desk.add(Action.WRITE, table("shop", "items"), [(1,)], transaction())
    assert desk.opened == ["shop.orders", "shop.items"]
    desk.check()


def test_the_size_of_a_batch_is_told_within_a_factor_of_two():
    """Batches are cut by it; memory follows."""
    desk = Desk()
    desk.add(Action.WRITE, table(), [("k" * 100, n) for n in range(1000)], transaction())
    told = desk.encoder.bytes
    messages, _ = desk.encoder.take()
    real = sum(len(value or b"") + len(key) for value, key, _, _ in messages["x.shop.orders"])
    assert real / 2 < told < real * 2


def test_a_message_is_never_of_tomorrow():
    """Any session can set its clock; brokers refuse messages of more than an hour ahead, at each start again."""
    encoder = Encoder("db", 1000, lambda *_: Topic("t", 1, b"", b""), tombstones=False, now_ms=lambda: 5_000)
    for committed_us in (4_000_000, 9_000_000):
        encoder.add_rows(Rows(table(), Action.WRITE, [key_bytes((1,))], transaction(committed_us=committed_us), 0))
    messages, _ = encoder.take()
    assert [timestamp_ms for _, _, _, timestamp_ms in messages["t"]] == [4_000, 5_000]
