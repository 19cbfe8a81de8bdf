"""Which records a replay reads; offsets that were removed or never existed are refused, never passed over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.kafka.offsets import Extent, Partition
from meepo2_cdc.records import Action
from meepo2_cdc.replay.selection import Filter, Offsets, choose_topics, parse_moment, parse_offsets, ranges
from tests.kafka import COMMITTED_AT, record

A, B = Partition("p.shop.orders", 0), Partition("p.shop.orders", 1)
HELD = {A: Extent(0, 100), B: Extent(0, 10)}
TEMPLATE = "p.{schema}.{table}"


def since(text: str) -> Offsets:
    return parse_offsets("--from-offset", text)


def until(text: str) -> Offsets:
    return parse_offsets("--to-offset", text)


@pytest.mark.parametrize("text", ["", "-1", "first", "1:x", "a:1", "1:2,1:3", "1:", ":1", "1.5", "٣", "1:2,3"])
def test_words_that_are_no_offsets_are_refused(text: str):
    """Read as something else, they would replay too much or too little."""
    with pytest.raises(ConfigError, match="--from-offset"):
        since(text)


def test_without_offsets_everything_held_is_read():
    """The default must leave out nothing."""
    assert ranges(HELD, None, None) == HELD


def test_one_offset_counts_in_each_partition():
    """Read in the first partition only, the others' records would be missing."""
    assert ranges(HELD, since("5"), until("8")) == {A: Extent(5, 8), B: Extent(5, 8)}


def test_a_partition_shorter_than_the_offset_gives_nothing():
    """Partitions are never equally long; an error here would make one offset useless."""
    assert ranges(HELD, since("50"), None) == {A: Extent(50, 100), B: Extent(10, 10)}
    assert ranges(HELD, None, until("50")) == {A: Extent(0, 50), B: Extent(0, 10)}


def test_the_end_itself_is_a_valid_offset():
    """It is where a reader stands that has read everything."""
    assert ranges(HELD, since("100"), None)[A] == Extent(100, 100)


@pytest.mark.parametrize("side", [since, until])
def test_an_offset_beyond_every_partition_is_refused_with_what_is_held(side):
    """A mistyped offset would look like an empty topic."""
    given = side("101")
    with pytest.raises(ConfigError) as caught:
        ranges(HELD, *((given, None) if side is since else (None, given)))
    assert "p.shop.orders[0] holds 0 to 100" in str(caught.value)
    assert "p.shop.orders[1] holds 0 to 10" in str(caught.value)


@pytest.mark.parametrize("text", ["0", "39", "0:0"])
def test_removed_offsets_are_refused_and_the_gap_is_named(text: str):
    """Starting after the gap in silence is the loss that a replay is there to repair."""
    held = {A: Extent(40, 100)}
    with pytest.raises(ConfigError) as caught:
        ranges(held, since(text), None)
    assert f"{text[-2:].lstrip(':')} to 39 are gone" in str(caught.value)
    assert "earliest" in str(caught.value)


def test_earliest_begins_after_what_was_removed():
    """The word for: whatever is left."""
    assert ranges({A: Extent(40, 100)}, since("earliest"), None) == {A: Extent(40, 100)}


def test_latest_reads_nothing_that_is_there():
    """latest is the end at the start."""
    assert ranges(HELD, since("latest"), None) == {A: Extent(100, 100), B: Extent(10, 10)}


def test_named_partitions_alone_are_read():
    """1:3 must not mean all of partition 0 as well."""
    assert ranges(HELD, since("1:3"), None) == {B: Extent(3, 10)}
    assert ranges(HELD, since("0:90,1:earliest"), until("0:95")) == {A: Extent(90, 95), B: Extent(0, 10)}


@pytest.mark.parametrize("text", ["1:11", "2:0"])
def test_a_named_partition_must_exist_and_hold_the_offset(text: str):
    """There is no other partition that could have been meant."""
    with pytest.raises(ConfigError, match="holds 0 to 10"):
        ranges(HELD, since(text), None)
    with pytest.raises(ConfigError, match="holds 0 to 10"):
        ranges(HELD, None, until(text))


def test_partitions_of_several_topics_cannot_be_named():
    """1:3 in every topic is hardly ever what was meant."""
    with pytest.raises(ConfigError, match="--topic"):
        ranges({**HELD, Partition("p.shop.items", 0): Extent(0, 5)}, since("0:3"), None)


def test_a_range_that_ends_before_it_begins_is_refused():
    """Two swapped offsets would look like an empty topic."""
    with pytest.raises(ConfigError, match="ends before it begins"):
        ranges(HELD, since("8"), until("5"))


def test_a_time_without_a_zone_is_refused_with_an_example():
    """Hours off, on every machine another number of them."""
    with pytest.raises(ConfigError, match="2026-07-01T12:00:00Z"):
        parse_moment("--from-timestamp", "2026-07-01 12:00")
    with pytest.raises(ConfigError, match="ISO 8601"):
        parse_moment("--from-timestamp", "yesterday")
    assert parse_moment("--from-timestamp", "2026-07-01T14:00:00+02:00") == datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_a_filter_keeps_what_matches_all_of_it():
    """Each test alone would let through what the others keep out."""
    wanted = Filter(
        tables=("shop.ord*", "*.items"),
        actions=frozenset({Action.DELETE}),
        since=COMMITTED_AT,
        until=COMMITTED_AT + timedelta(microseconds=1),
    ).test()
    kept = {"action": Action.DELETE, "committed_at": COMMITTED_AT}
    assert wanted(record(1, **kept))
    assert wanted(record(1, **kept | {"schema": "other", "table": "items"}))
    assert not wanted(record(1, **kept | {"schema": "Shop"}))
    assert not wanted(record(1, **kept | {"action": Action.UPDATE}))
    assert not wanted(record(1, **kept | {"committed_at": COMMITTED_AT - timedelta(microseconds=1)}))
    assert not wanted(record(1, **kept | {"committed_at": COMMITTED_AT + timedelta(microseconds=1)}))


def is_data(name: str) -> bool:
    return name.startswith("p.") and not name.startswith("p.checkpoints.")


THERE = ["p.shop.orders", "p.shop.items", "p.crm.user_s", "p.checkpoints.db", "__consumer_offsets", "x.a.b"]


def test_all_data_topics_are_read_unless_some_are_named():
    """A forgotten topic is a forgotten table."""
    chosen = choose_topics(THERE, is_data, (), (), TEMPLATE)
    assert chosen == ["p.crm.user_s", "p.shop.items", "p.shop.orders"]
    assert choose_topics(THERE, is_data, ("x.a.b", "x.a.b"), (), TEMPLATE) == ["x.a.b"]


def test_only_topics_that_can_hold_a_wanted_table_are_read():
    """Reading all topics for one table takes hours; leaving out one that can hold it loses records."""
    assert choose_topics(THERE, is_data, (), ("shop.ord*",), TEMPLATE) == ["p.shop.orders"]
    assert choose_topics(THERE, is_data, (), ("crm.user$s", "*.i[t]ems"), TEMPLATE) == ["p.crm.user_s", "p.shop.items"]
    assert len(choose_topics(THERE, is_data, (), ("shop.orders",), "p.{table}.{schema}")) == 3


@pytest.mark.parametrize(
    ("asked", "tables", "hint"),
    [(("p.shop.order",), (), "p.shop.orders"), ((), ("shop.order",), "p.shop.orders")],
)
def test_a_topic_that_does_not_exist_is_refused_with_near_names(asked, tables, hint: str):
    """Nothing printed would read as: nothing happened."""
    with pytest.raises(ConfigError, match=hint):
        choose_topics(THERE, is_data, asked, tables, TEMPLATE)


def test_a_prefix_without_topics_is_refused_with_what_there_is():
    """A wrong prefix would read as: nothing happened."""
    with pytest.raises(ConfigError, match=r"(?s)q\.\{schema\}\.\{table\}.*p\.shop\.orders"):
        choose_topics(THERE, lambda name: name.startswith("q."), (), (), "q.{schema}.{table}")
