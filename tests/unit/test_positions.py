"""
Positions and sets of global transaction ids, against plain sets of numbers.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.records import position
from meepo2_cdc.records.position import LogPosition, MariadbGtidSet, MysqlGtidSet, file_number, gtid_set

A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "6c7aecc0-e7df-11f1-8e3e-02fc00000001"
NAMES = (A, B, f"{A}:tag", f"{A}:other_tag")


@pytest.fixture(autouse=True, scope="module", params=[1, 32])
def _many_and_few_recent(request: pytest.FixtureRequest) -> Iterator[None]:
    """How many intervals are not shared between copies; few, so that small sets have others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(position, "_RECENT", request.param)
        yield


intervals = st.tuples(st.sampled_from(NAMES), st.integers(1, 60), st.integers(0, 8))
steps = st.lists(intervals, max_size=30)


def model(added: list[tuple[str, int, int]]) -> set[str]:
    return {f"{name}:{number}" for name, first, more in added for number in range(first, first + more + 1)}


def made(added: list[tuple[str, int, int]]) -> MysqlGtidSet:
    gtids = MysqlGtidSet()
    for name, first, more in added:
        gtids.add_interval(name, first, first + more)
    return gtids


def members(gtids: MysqlGtidSet) -> set[str]:
    return {f"{name}:{number}" for name in NAMES for number in range(1, 80) if f"{name}:{number}" in gtids}


def test_files_order_by_their_number():
    """As text binlog.1000000 comes before binlog.999999, and the capture would go back."""
    positions = [LogPosition("binlog.999999", 5), LogPosition("binlog.1000000", 4), LogPosition("binlog.1000000", 30)]
    assert sorted(reversed(positions), key=lambda at: at.order) == positions
    assert LogPosition("my.bin.000002", 4).order < LogPosition("my.bin.000010", 4).order
    assert str(positions[0]) == "binlog.999999:5"


@pytest.mark.parametrize("name", ["binlog", "binlog.", "binlog.index", ""])
def test_a_file_without_a_number_is_no_log_file(name: str):
    """It cannot be compared with any."""
    with pytest.raises(ValueError):  # noqa: PT011  int's own message
        file_number(name)


@given(steps)
def test_a_set_holds_what_was_added_in_whatever_order_and_how_often(added: list[tuple[str, int, int]]):
    """A transaction that is missing is read again; one that is there by mistake is lost."""
    assert members(made(added)) == model(added)


@given(steps)
def test_a_set_is_the_same_whatever_way_it_came_to_be(added: list[tuple[str, int, int]]):
    """Two spellings of one set would be taken for two positions."""
    one_by_one = MysqlGtidSet()
    for gtid in sorted(model(added), reverse=True):
        one_by_one.add(gtid)
    together = made(added)
    assert one_by_one == together
    assert str(one_by_one) == str(together)


@given(steps)
def test_text_and_back_is_the_same_set(added: list[tuple[str, int, int]]):
    """The checkpoint is text."""
    gtids = made(added)
    assert MysqlGtidSet(str(gtids)) == gtids
    assert members(MysqlGtidSet(str(gtids))) == model(added)


@given(steps)
def test_intervals_are_apart_and_in_order(added: list[tuple[str, int, int]]):
    """The server refuses others, or reads them as it likes."""
    for text in filter(None, str(made(added)).split(",")):
        numbers = [int(number) for part in text.split(":")[1:] if part[0].isdigit() for number in part.split("-")]
        ends = [pair for part in text.split(":")[1:] if part[0].isdigit() for pair in [part.split("-")]]
        assert numbers == sorted(numbers)
        assert all(int(after[0]) > int(before[-1]) + 1 for before, after in pairwise(ends))


@given(steps, steps)
def test_a_copy_goes_its_own_way(added: list[tuple[str, int, int]], more: list[tuple[str, int, int]]):
    """A checkpoint that changes while it is written says what was not yet done."""
    gtids = made(added)
    copy = gtids.copy()
    for name, first, length in more:
        copy.add_interval(name, first, first + length)
    assert members(gtids) == model(added)
    assert members(copy) == model(added + more)


@given(steps, steps)
def test_one_set_is_within_another_as_sets_are(one: list[tuple[str, int, int]], other: list[tuple[str, int, int]]):
    """By this a server is found to have all that was captured, or not."""
    assert made(one).is_within(made(other)) == (model(one) <= model(other))
    assert made(one).is_within(made(one + other))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        (f"{A}:1", f"{A}:1"),
        (f" {A}:1-3:5 ,\n{B}:7", f"{A}:1-3:5,{B}:7"),
        (f"{A.upper()}:1-3", f"{A}:1-3"),
        (f"{A}:5:1-3:4", f"{A}:1-5"),
        (f"{A}:1-3:tag:2-4:other_tag:1,{A}:9", f"{A}:1-3:9,{A}:other_tag:1,{A}:tag:2-4"),
        (f"{A}:tag:1,{A}:tag:2", f"{A}:tag:1-2"),
    ],
)
def test_sets_as_servers_spell_them(text: str, canonical: str):
    """MySQL breaks lines in them, and puts tags behind the number they do not belong to."""
    assert str(MysqlGtidSet(text)) == canonical


@pytest.mark.parametrize(
    "text",
    ["x", A, f"{A}:", f"{A}:1-", f"{A}:-3", f"{A}:1-x", f"{A}:tag", f"{A}:3-1", f"{A}:0", "0-1-5", f"nouuid:1-5,{A}:1"],
)
def test_what_is_no_set_is_refused(text: str):
    """A set that lost a part begins too early or too late."""
    with pytest.raises(ValueError, match=r"."):
        MysqlGtidSet(text)


def test_a_set_of_many_intervals_costs_a_commit_no_more_than_one_of_few():
    """A source that many servers write to by turns would be captured slower and slower."""
    gtids = MysqlGtidSet(f"{A}:" + ":".join(f"{3 * n + 1}-{3 * n + 2}" for n in range(10_000)))
    tracemalloc.start()
    try:
        copy = gtids.copy()
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert copy == gtids
    gtids.add(f"{A}:3")
    assert f"{A}:3" not in copy
    assert str(gtids).startswith(f"{A}:1-5:7-8:")


def test_the_usual_next_transaction_needs_no_search():
    """It is done once for every transaction there is."""
    gtids = MysqlGtidSet(f"{A}:1-5:8-9")
    for number in range(10, 2000):
        gtids.add(f"{A}:{number}")
    assert str(gtids) == f"{A}:1-5:8-1999"
    gtids.add(f"{A}:6")
    gtids.add(f"{A}:7")
    assert str(gtids) == f"{A}:1-1999"


domains = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2), st.integers(1, 50)), max_size=20)


@given(domains)
def test_mariadb_keeps_the_last_of_each_domain(added: list[tuple[int, int, int]]):
    """The server goes on behind it, domain by domain."""
    gtids = MariadbGtidSet()
    for domain, server, number in added:
        gtids.add(f"{domain}-{server}-{number}")
    last = {domain: f"{domain}-{server}-{number}" for domain, server, number in added}
    assert str(gtids) == ",".join(last[domain] for domain in sorted(last))
    assert MariadbGtidSet(str(gtids)) == gtids == gtids.copy()


def test_mariadb_domains_order_by_number_and_hold_all_before_the_last():
    """Domain 10 is not domain 1."""
    gtids = MariadbGtidSet("10-1-7,2-1-5")
    assert str(gtids) == "2-1-5,10-1-7"
    assert "10-9-7" in gtids
    assert "10-1-8" not in gtids
    assert "1-1-1" not in gtids


def test_a_copy_of_a_mariadb_set_goes_its_own_way():
    """As above."""
    gtids = MariadbGtidSet("0-1-5")
    copy = gtids.copy()
    copy.add("0-1-6")
    assert (str(gtids), str(copy)) == ("0-1-5", "0-1-6")


@pytest.mark.parametrize("text", ["x", "0-1", "0-1-", "0-1-5-6", f"{A}:1", "0-1-5,x", "-1-2-3"])
def test_what_is_no_mariadb_set_is_refused(text: str):
    """As above."""
    with pytest.raises(ValueError, match="is no GTID of MariaDB"):
        MariadbGtidSet(text)


def test_the_flavor_says_which_kind_of_set_it_is():
    """A checkpoint names it."""
    assert gtid_set("mysql", f"{A}:1") == MysqlGtidSet(f"{A}:1")
    assert gtid_set("mariadb", "0-1-5") == MariadbGtidSet("0-1-5")
