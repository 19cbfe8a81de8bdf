"""Replay against a real Kafka: every committed record of the range once, in order, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from meepo2_cdc.cli.main import cli
from meepo2_cdc.errors import Error, UnreadableData
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.kafka.offsets import Extent, Partition, extents
from meepo2_cdc.kafka.reader import RangeReader
from meepo2_cdc.kafka.registry import header_of, schema_of_id
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.records.avro import ActionDecoder, encode_action, encode_key
from tests.kafka import COMMITTED_AT, Topics, produce, record, resident_bytes


@pytest.fixture
def topics(kafka: str) -> Topics:
    return Topics(kafka)


@pytest.fixture
def orders(topics: Topics, prefix: str) -> str:
    return topics.create(f"{prefix}.shop.orders", 3)


@pytest.fixture
def replay(kafka: str, prefix: str):
    """The command, as typed."""

    def run(*arguments: str, expected: int = 0) -> Result:
        own = ["replay", "--bootstrap-servers", kafka, "--prefix", prefix]
        result = CliRunner().invoke(cli, [*own, *arguments], catch_exceptions=False)
        assert result.exit_code == expected, result.stderr
        return result

    return run


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def seqs(result: Result) -> list[int]:
    return [line["seq"] for line in lines(result)]


def reader(topics: Topics, names: Iterable[str], **settings: Any) -> RangeReader:
    counts = {name: len(topics.admin.list_topics(name).topics[name].partitions) for name in names}
    within = extents(topics.admin, [Partition(name, n) for name, count in counts.items() for n in range(count)])
    return RangeReader({"bootstrap.servers": topics.address}, within, ActionDecoder(), **settings)


def test_committed_records_are_printed_once_in_the_order_of_seq(replay, topics: Topics, orders: str, prefix: str):
    """Topic by topic instead, a replayed foreign key would come before what it points to."""
    items = topics.create(f"{prefix}.shop.items", 2)
    topics.put(orders, [(1, record(1)), (0, record(4)), (1, record(5))])
    topics.put(orders, [(0, record(900)), (2, record(901))], abort=True)
    topics.put(items, [(1, record(2, table="items")), (0, record(3, table="items"))])
    topics.put(items, [(1, record(902, table="items"))], abort=True)
    topics.put(orders, [(2, record(6))])
    topics.put(orders, [(2, record(903)), (0, record(904))], abort=True)
    assert seqs(replay("--json")) == [1, 2, 3, 4, 5, 6]


def test_reading_ends_where_a_partition_holds_only_aborted_records_at_its_end(replay, topics: Topics, orders: str):
    """The end is then at no record; a reader that waits for the last one waits for ever."""
    topics.put(orders, [(0, record(1))])
    for n in range(5):
        topics.put(orders, [(partition, record(900 + n)) for partition in (0, 1)], abort=True)
    assert seqs(replay("--json")) == [1]


def test_an_open_transaction_is_not_waited_for_and_not_printed(replay, topics: Topics, orders: str):
    """What it holds may yet be aborted, and a capture that runs always has one open."""
    topics.put(orders, [(0, record(1)), (1, record(2))])
    with topics.producer() as producer:
        producer.begin_transaction()
        produce(producer, orders, 0, record(3))
        producer.flush(30)
        assert seqs(replay("--json")) == [1, 2]
        producer.abort_transaction(30)


def test_records_that_come_while_reading_are_left_for_the_next_replay(topics: Topics, orders: str):
    """A replay of a busy topic would otherwise never end."""
    topics.put(orders, [(0, record(seq)) for seq in range(1, 11)])
    found = []
    for one in reader(topics, [orders]):
        found.append(one.action.seq)
        if len(found) == 1:
            topics.put(orders, [(0, record(100)), (1, record(101))])
    assert found == list(range(1, 11))


def test_200_000_records_come_in_order_within_bounded_memory(topics: Topics, prefix: str):
    """A partition that is far ahead would be read into memory whole, and the replay killed half-way."""
    names = [topics.create(f"{prefix}.shop.{table}", 4) for table in ("orders", "items")]
    count = 200_000
    dice = random.Random(7)  # noqa: S311 - which partition, not a secret
    with topics.producer() as producer:
        for low in range(0, count, 20_000):
            producer.begin_transaction()
            for seq in range(low, low + 20_000):
                # one table is complete before the other begins, so its partitions wait for all of the other's
                name = names[seq >= count // 2]
                produce(producer, name, dice.randrange(4), record(seq))
                producer.poll(0)
            producer.commit_transaction(60)
            if low % 60_000 == 0:
                topics.put(names[1], [(n, record(-1)) for n in range(4)], abort=True)
    for name in names:
        topics.settle(name)
    before = resident_bytes()
    most = 0
    expected = 0
    reading = reader(topics, names, buffered_records=8_000)
    for one in reading:
        assert one.action.seq == expected
        expected += 1
        if expected % 1000 == 0:
            most = max(most, sum(len(lane.buffer) for lane in reading._lanes))
    assert expected == count
    assert most < 8 * (1_000 + 1_000)  # for each partition its share, and the batch that overran it
    assert resident_bytes() - before < 100 << 20
    assert reading.passed == sum(lane.end - lane.begin for lane in reading._lanes)


def test_a_tombstone_is_no_record(replay, topics: Topics, orders: str):
    """It follows a delete on compacted topics, for the broker alone."""
    with topics.transaction(orders) as producer:
        produce(producer, orders, 0, record(1, action=Action.DELETE))
        producer.produce(orders, None, encode_key("shop", "orders", (1,)), 0)
        produce(producer, orders, 0, record(2))
    assert seqs(replay("--json")) == [1, 2]


def test_a_record_that_cannot_be_read_ends_the_replay_and_is_named(replay, topics: Topics, orders: str):
    """Passed over in silence, it is a change that nobody ever hears of."""
    with topics.transaction(orders) as producer:
        produce(producer, orders, 1, record(1))
        producer.produce(orders, b"not avro", b"k", 1)
    result = replay("--json", expected=UnreadableData.exit_code)
    assert f"{orders}[1] offset 1:" in result.stderr
    assert result.stderr.startswith("meepo2-cdc: ")


def test_records_in_the_registry_framing_are_read(replay, topics: Topics, orders: str, registry: str):
    """A cluster with a registry has no other records."""
    header = header_of(registry, f"{orders}-value", "table_action")
    topics.put(orders, [(0, record(1, pk=("a", b"b")))], header=header)
    topics.put(orders, [(0, record(2))])
    found = lines(replay("--json", "--schema-registry-url", registry))
    assert [line["pk"] for line in found] == [["a", {"base64": "Yg=="}], [2]]
    decoder = ActionDecoder(schema_of_id(registry))
    assert decoder.action(encode_action(record(3), header)) == record(3)


def test_registry_records_without_a_registry_are_refused_with_the_setting(
    replay, topics: Topics, orders: str, registry: str
):
    """The reader has to learn which setting is missing."""
    topics.put(orders, [(0, record(1))], header=header_of(registry, f"{orders}-value", "table_action"))
    result = replay(expected=UnreadableData.exit_code)
    assert "MEEPO2_SCHEMA_REGISTRY_URL" in result.stderr


def test_offsets_choose_a_half_open_range_of_each_partition(replay, topics: Topics, orders: str):
    """An end that is included on one day and not on the next repeats a record, or loses one."""
    topics.put(orders, [(partition, record(10 * n + partition)) for n in range(5) for partition in (0, 1)])
    assert seqs(replay("--json", "--from-offset", "1", "--to-offset", "3")) == [10, 11, 20, 21]
    assert seqs(replay("--json", "--from-offset", "1:3")) == [31, 41]
    assert seqs(replay("--json", "--from-offset", "0:4,1:earliest", "--to-offset", "1:1")) == [1, 40]
    assert seqs(replay("--json", "--from-offset", "latest")) == []


def test_an_offset_beyond_every_end_is_refused_with_the_valid_range(replay, topics: Topics, orders: str):
    """An empty answer would read as: nothing happened."""
    topics.put(orders, [(0, record(1)), (0, record(2))])
    result = replay("--from-offset", "4", expected=2)
    assert f"{orders}[0] holds 0 to 3" in result.stderr  # two records and the marker of their transaction
    assert seqs(replay("--json", "--from-offset", "1")) == [2]
    assert f"{orders}[1] holds 0 to 0" in replay("--from-offset", "1:1", expected=2).stderr


def test_removed_records_are_a_named_gap_unless_earliest_is_asked_for(replay, topics: Topics, orders: str):
    """Beginning after the gap in silence is the loss that a replay is there to repair."""
    topics.put(orders, [(partition, record(10 * n + partition)) for n in range(4) for partition in (0, 1)])
    topics.remove_before(orders, 1, 2)
    result = replay("--from-offset", "0", expected=2)
    assert f"{orders}[1] holds 2 to 5: 0 to 1 are gone" in result.stderr
    assert replay("--from-offset", "1:0", expected=2).stderr
    assert seqs(replay("--json", "--from-offset", "earliest")) == [0, 10, 20, 21, 30, 31]
    assert seqs(replay("--json", "--from-offset", "2")) == [20, 21, 30, 31]


def test_records_removed_while_reading_are_an_error(topics: Topics, orders: str):
    """The broker would put the reader at another offset, and the gap would go unseen."""
    topics.put(orders, [(0, record(seq)) for seq in range(10)])
    reading = reader(topics, [orders])
    topics.remove_before(orders, 0, 5)
    with pytest.raises(Error, match=r"\[0\] was to be read from 0 to 11"):
        list(reading)


def test_a_partition_that_stays_silent_is_an_error(topics: Topics, orders: str):
    """Waiting for ever looks like work."""
    topics.put(orders, [(0, record(1))])
    reading = RangeReader(
        {"bootstrap.servers": topics.address}, {Partition(orders, 0): Extent(0, 50)}, ActionDecoder(), silence_seconds=1
    )
    with pytest.raises(Error, match=r"\[0\] is read up to 1 only, not to its end 50"):
        list(reading)


def test_times_choose_by_the_commit_on_the_source(replay, topics: Topics, orders: str):
    """By the arrival in Kafka instead, a capture that was behind moves every range."""
    topics.put(orders, [(seq % 2, record(seq)) for seq in range(10)])
    moment = (COMMITTED_AT + timedelta(milliseconds=3)).isoformat()
    later = (COMMITTED_AT + timedelta(milliseconds=6)).isoformat()
    assert seqs(replay("--json", "--from-timestamp", moment)) == [3, 4, 5, 6, 7, 8, 9]
    assert seqs(replay("--json", "--to-timestamp", moment)) == [0, 1, 2]
    assert seqs(replay("--json", "--from-timestamp", moment, "--to-timestamp", later)) == [3, 4, 5]
    assert seqs(replay("--json", "--from-timestamp", "2040-01-01T00:00:00Z")) == []


def test_times_are_told_apart_by_the_microsecond(replay, topics: Topics, orders: str):
    """Kafka's own timestamps are milliseconds; a range by them alone takes up to 999 microseconds too much."""
    times = [COMMITTED_AT + timedelta(microseconds=n) for n in range(4)]
    topics.put(orders, [(0, record(n, committed_at=time)) for n, time in enumerate(times)])
    both = ["--from-timestamp", times[1].isoformat(), "--to-timestamp", times[3].isoformat()]
    assert seqs(replay("--json", *both)) == [1, 2]


def test_tables_actions_and_a_limit_narrow_what_is_printed(replay, topics: Topics, orders: str, prefix: str):
    """A filter that lets through too much makes a repair of one table a repair of all."""
    items = topics.create(f"{prefix}.crm.items")
    topics.put(orders, [(0, record(1)), (1, record(2, action=Action.DELETE)), (0, record(3, table="orders_old"))])
    topics.put(items, [(0, record(4, schema="crm", table="items", action=Action.DELETE))])
    assert seqs(replay("--json", "--table", "shop.orders")) == [1, 2]
    assert seqs(replay("--json", "--table", "crm.*", "--table", "*.orders_old")) == [4]
    assert seqs(replay("--json", "--topic", orders, "--table", "*.orders_old")) == [3]
    assert seqs(replay("--json", "--action", "delete", "--action", "update")) == [2, 4]
    assert seqs(replay("--json", "--limit", "2")) == [1, 2]
    assert seqs(replay("--json", "--topic", items)) == [4]


def test_people_get_aligned_columns(replay, topics: Topics, orders: str):
    """The first thing that anybody runs."""
    topics.put(orders, [(0, record(1)), (1, record(200, action=Action.DELETE, pk=(7, "x")))])
    head, first, second = replay().stdout.splitlines()
    assert head.split()[:4] == ["seq", "action", "table", "key"]
    assert first.index("shop.orders") == second.index("shop.orders") == head.index("table")
    assert second.split() == [
        "200",
        "delete",
        "shop.orders",
        "7,",
        "x",
        "2026-07-01T12:00:00.200250Z",
        f"{orders}[1]@0",
    ]


def test_a_dry_run_shows_the_ranges_and_reads_nothing(replay, topics: Topics, orders: str):
    """What it shows must be what the run then does."""
    topics.put(orders, [(0, record(1)), (0, record(2)), (2, record(3))])
    with topics.transaction(orders) as producer:
        producer.produce(orders, b"not avro", b"k", 0)
    found = lines(replay("--dry-run", "--json", "--from-offset", "1"))
    assert [(line["partition"], line["from"], line["to"], line["offsets"]) for line in found] == [
        (0, 1, 5, 4),
        (1, 0, 0, 0),
        (2, 1, 2, 1),
    ]
    assert replay("--dry-run").stdout.splitlines()[-1].split() == ["all", "7"]


def test_no_consumer_group_appears(replay, topics: Topics, orders: str):
    """A replay that joined a group would take partitions from the application of that name."""
    topics.put(orders, [(0, record(1))])
    replay("--json")
    listed = topics.admin.list_consumer_groups().result(30).valid
    assert not [group.group_id for group in listed if "no-group" in group.group_id]


def test_a_prefix_or_topic_without_records_is_refused_with_what_there_is(replay, topics: Topics, orders: str):
    """Nothing printed and exit code 0 would read as: nothing happened."""
    assert orders in replay("--topic", orders[:-1], expected=2).stderr
    assert "there is no data topic" in replay("--prefix", "no-such-prefix", expected=2).stderr


def test_an_empty_topic_is_no_error(replay, orders: str):
    """A table in which nothing has changed yet."""
    assert replay("--json").stdout == ""


def test_a_kafka_that_does_not_answer_is_one_clear_line():
    """librdkafka's own log is a screen of it."""
    with pytest.raises(Error, match=r"Kafka at 127.0.0.1:1 does not answer: .*Connection refused"):
        connect({"bootstrap.servers": "127.0.0.1:1"}, answer_seconds=0.5)


def test_topics_are_listed_with_what_they_hold(kafka: str, topics: Topics, orders: str, prefix: str):
    """The numbers that --from-offset is compared with."""
    topics.put(orders, [(0, record(1)), (0, record(2))])
    topics.create(f"{prefix}.checkpoints.db")
    topics.create(f"{prefix}.shop.items", cleanup_policy="compact")
    arguments = ["topics", "--bootstrap-servers", kafka, "--prefix", prefix]
    shown = CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout.splitlines()
    assert [line.split() for line in shown[1:]] == [
        [f"{prefix}.shop.items", "0", "0", "0", "compact"],
        [orders, "0", "0", "3", "delete"],
        [orders, "1", "0", "0", "delete"],
        [orders, "2", "0", "0", "delete"],
    ]
    in_json = lines(CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False))
    assert in_json[1]["partitions"][0] == {"partition": 0, "from": 0, "to": 3}


def test_records_of_a_producer_without_transactions_are_read_too(replay, kafka: str, topics: Topics, orders: str):
    """The session capture, and other people's tools, may write without them."""
    producer = Producer({"bootstrap.servers": kafka})
    value: TableAction = record(1)
    produce(producer, orders, 0, value)
    assert producer.flush(30) == 0
    assert seqs(replay("--json")) == [1]
