"""The fast reader of records and fastavro must agree on every record, and on what is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import Action, Source, TableAction
from meepo2_cdc.records.avro import ActionDecoder, encode_action
from meepo2_cdc.records.wire_reader import ActionReader
from tests.kafka import record

longs = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=100)
parts = longs | st.floats(allow_nan=False) | texts | st.binary(max_size=200)
actions = st.builds(
    TableAction,
    action=st.sampled_from(Action),
    schema=texts,
    table=texts,
    pk=st.lists(longs, min_size=1, max_size=1).map(tuple) | st.lists(parts, max_size=70).map(tuple),
    committed_at=st.datetimes(datetime(1, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants it naive
    snapshot=st.booleans(),
    seq=longs,
    source=st.builds(
        Source,
        name=texts,
        gtid=st.none() | texts,
        file=st.none() | texts,
        position=st.none() | longs,
        row=st.integers(-(2**31), 2**31 - 1),
    ),
)


def by_fastavro(raw: bytes) -> TableAction | None:
    try:
        return ActionDecoder()._action(raw)
    except UnreadableData:
        return None


@given(st.lists(actions, min_size=1, max_size=4))
def test_records_are_read_as_they_were_written(written: list[TableAction]):
    """A key that is read as another one changes the wrong row."""
    decoder = ActionDecoder()
    assert [decoder.action(encode_action(one)) for one in written] == written


@given(actions, st.data())
def test_what_differs_little_from_the_last_record_is_not_taken_for_it(first: TableAction, data: st.DataObject):
    """The reader remembers parts of the last record; a stale part would be another row's."""
    decoder = ActionDecoder()
    decoder.action(encode_action(first))
    other = data.draw(actions)
    for name in ("action", "schema", "pk", "committed_at", "seq", "source"):
        mixed = replace(first, **{name: getattr(other, name)})
        assert decoder.action(encode_action(mixed)) == mixed


def test_long_runs_are_read_by_the_fast_reader():
    """Falling back to fastavro for the common record would cost two thirds of the speed, unnoticed."""
    reader = ActionReader()
    for seq in range(1_751_330_000_000_000, 1_751_330_000_000_000 + 5000, 7):
        one = record(seq, pk=(seq % 300,), committed_at=datetime(2026, 7, 1, tzinfo=UTC))
        assert reader.read(encode_action(one), 10) == one


@given(actions, st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3))
def test_damaged_records_are_read_as_fastavro_reads_them(one: TableAction, at: int, put: bytes, cut: int):
    """A damaged record that only one reader refuses is a loss that depends on luck."""
    raw = encode_action(one)
    at = 10 + at % (len(raw) - 10)
    damaged = raw[:at] + put + raw[at + cut :]
    reader = ActionReader()
    reader.read(raw, 10)
    found = reader.read(damaged, 10)
    assert found is None or found == by_fastavro(damaged)
