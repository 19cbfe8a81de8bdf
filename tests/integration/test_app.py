"""
Consumer applications against a real Kafka: groups, rebalances, deaths, dead letters.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition

import meepo2_cdc
from meepo2_cdc.cli.main import cli
from meepo2_cdc.errors import ConfigError, PositionLost
from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.records import Action, TableAction
from tests.command import Running, until
from tests.kafka import Topics, record

TEN = [(n % 4, record(n)) for n in range(10)]


@pytest.fixture
def topics(kafka: str) -> Topics:
    return Topics(kafka)


@pytest.fixture
def orders(topics: Topics, prefix: str) -> str:
    return topics.create(f"{prefix}.shop.orders", 4, retention_ms="-1")  # its records are of the past


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RETRY_SECONDS": "0.01", "RETRY_MAX_SECONDS": "0.05", "COMMIT_INTERVAL_MS": "20"}.items():
        monkeypatch.setenv(f"MEEPO2_RUN_{name}", value)


@contextmanager
def running(app: meepo2_cdc.App) -> Iterator[meepo2_cdc.App]:
    """The application in a thread; stopped at the end, and what it raised is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            app.run()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield app
    finally:
        app.stop()
        thread.join(60)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


@pytest.fixture
def app(kafka: str, prefix: str) -> Callable[[str], meepo2_cdc.App]:
    return lambda group: meepo2_cdc.App(bootstrap_servers=kafka, prefix=prefix, group=f"{prefix}.{group}")


def committed(topics: Topics, group: str, topic: str) -> dict[int, int]:
    asked = [ConsumerGroupTopicPartitions(group)]
    answer = topics.admin.list_consumer_group_offsets(asked)[group].result(30)
    return {one.partition: one.offset for one in answer.topic_partitions if one.topic == topic}


def lag(topics: Topics, group: str, topic: str) -> int:
    ends = extents(topics.admin, [Partition(topic, n) for n in range(4)])
    at = committed(topics, group, topic)
    return sum(extent.end - at.get(one.number, 0) for one, extent in ends.items())


def test_a_function_gets_the_keys_of_the_records_it_wants(app, topics: Topics, orders: str):
    """The least that an application needs: which rows changed (S67)."""
    topics.put(orders, [*TEN, (0, record(10, action=Action.DELETE, pk=(3, "x"))), (0, record(11, table="order"))])
    seen: list[Any] = []
    deleted: list[Any] = []
    application = app("keys")
    application.on("shop.orders", "write")(seen.append)
    application.on(["shop.orders", "*.order"], "delete", Action.TRUNCATE)(deleted.append)
    with running(application):
        until(lambda: len(seen) == 10 and deleted, "all records arrived")
    assert sorted(seen) == list(range(10))
    assert deleted == [(3, "x")]


def test_a_batch_function_gets_lists_of_at_most_its_maximum(app, topics: Topics, orders: str):
    """A bulk request has a limit (S67, S70)."""
    topics.put(orders, [(0, record(n)) for n in range(600)])
    calls: list[list[Any]] = []
    application = app("batches")
    application.on("shop.orders", batch=True, max_batch=256)(calls.append)
    with running(application):
        until(lambda: sum(map(len, calls)) == 600, "all records arrived")
    assert max(map(len, calls)) <= 256
    assert [pk for call in calls for pk in call] == list(range(600))


@pytest.mark.parametrize(
    ("result", "tries"),
    [(None, {1: 1, 2: 1}), (True, {1: 1, 2: 1}), ([True, False], {1: 1, 2: 2}), (False, {1: 2, 2: 2}),
     ([True], {1: 2, 2: 2}), (0, {1: 2, 2: 2}), (ValueError("no"), {1: 2, 2: 2})],
    ids=repr,
)  # fmt: skip
def test_what_a_function_returns_says_what_comes_again(
    app, topics: Topics, orders: str, result: Any, tries: dict[int, int]
):
    """A list that is too short, or a None in a loop, lost keys or spun in the predecessor (S73, S74)."""
    topics.put(orders, [(0, record(1)), (0, record(2))])
    calls: list[list[int]] = []
    application = app("results")

    @application.on("shop.orders", batch=True)
    def answer(pks: list[int]) -> Any:
        calls.append(pks)
        if len(calls) > 1:
            return None
        if isinstance(result, Exception):
            raise result
        return result

    with running(application):
        until(lambda: lag(topics, application.group, orders) == 0, "all was done and committed")
    flat = [pk for call in calls for pk in call]
    assert {pk: flat.count(pk) for pk in (1, 2)} == tries


def test_one_key_that_raises_is_tried_again_and_the_others_are_done(app, topics: Topics, orders: str):
    """The predecessor lost the whole batch (S72, D33)."""
    topics.put(orders, [(0, record(n)) for n in (1, 2, 3, 4)])
    calls: list[int] = []
    application = app("raising")

    @application.on("shop.orders")
    def handle(pk: int) -> None:
        calls.append(pk)
        if pk == 2 and calls.count(2) < 3:
            raise RuntimeError("not yet")

    with running(application):
        until(lambda: lag(topics, application.group, orders) == 0, "all was done and committed")
    assert sorted(calls) == [1, 2, 2, 2, 3, 4]


def test_a_key_that_always_fails_is_a_dead_letter_and_can_be_replayed(
    app, kafka: str, prefix: str, topics: Topics, orders: str
):
    """The predecessor's eleventh failure was a line in a log (S71, D37)."""
    topics.put(orders, [(0, record(n)) for n in (1, 2, 3)])
    application = app("failing")
    calls: list[int] = []
    broken = True

    @application.on("shop.orders")
    def handle(pk: int) -> None:
        calls.append(pk)
        if pk == 2 and broken:
            raise RuntimeError("the database says no")

    with running(application):
        until(lambda: lag(topics, application.group, orders) == 0, "all was done, set aside or committed")
    assert calls.count(2) == 11

    (letter,) = [json.loads(line) for line in dead_letters(kafka, prefix, "list", application.group, "--json")]
    assert letter["record"] == "shop.orders write 2"
    headers = letter["headers"]
    assert headers["__connect.errors.topic"] == orders
    assert (headers["__connect.errors.partition"], headers["__connect.errors.offset"]) == ("0", "1")
    assert headers["__connect.errors.exception.message"] == "RuntimeError: the database says no"
    assert headers["meepo2_cdc.tries"] == "11"
    assert "the database says no" in "\n".join(dead_letters(kafka, prefix, "list", application.group))
    assert "shop.orders write 2" in "\n".join(dead_letters(kafka, prefix, "show", application.group, "0"))

    broken = False
    assert application.replay_dead_letters() == 0
    assert calls.count(2) == 12
    assert list(dead_letters(kafka, prefix, "list", application.group, "--json")) == []


def test_dropped_dead_letters_are_listed_no_more(app, kafka: str, prefix: str, topics: Topics, orders: str):
    """Each that stays in the list is one that somebody must still look at."""
    with topics.transaction(orders) as producer:
        for junk in (b"", b"\x00", b"not avro"):
            producer.produce(orders, junk, b"key", 0)
    topics.put(orders, [(0, record(1))])
    seen: list[int] = []
    application = app("junk")
    application.on("*.*")(seen.append)
    with running(application):
        until(lambda: lag(topics, application.group, orders) == 0, "all was done")
    assert seen == [1]
    listed = [json.loads(line) for line in dead_letters(kafka, prefix, "list", application.group, "--json")]
    assert [one["headers"]["__connect.errors.stage"] for one in listed] == ["VALUE_CONVERTER"] * 3
    dead_letters(kafka, prefix, "drop", application.group, "1")
    assert [json.loads(one)["offset"] for one in dead_letters(kafka, prefix, "list", application.group, "--json")] == [
        0,
        2,
    ]
    dead_letters(kafka, prefix, "drop", application.group, "1", expected=2)
    dead_letters(kafka, prefix, "drop", application.group, "--all")
    assert list(dead_letters(kafka, prefix, "list", application.group, "--json")) == []


def dead_letters(kafka: str, prefix: str, *arguments: str, expected: int = 0) -> list[str]:
    own = ["--bootstrap-servers", kafka, "--prefix", prefix]
    result: Result = CliRunner().invoke(cli, ["dead-letters", *arguments[:2], *own, *arguments[2:]])
    assert result.exit_code == expected, result.stderr
    return result.stdout.splitlines()


def test_two_groups_both_get_everything_however_late_they_come(app, topics: Topics, orders: str):
    """A consumer that starts after the changes is not too late, as it was with 0MQ (S57, S58, S59)."""
    first: list[int] = []
    second: list[int] = []
    one, other = app("one"), app("other")
    one.on("shop.orders")(first.append)
    other.on("shop.orders")(second.append)
    topics.put(orders, TEN)
    with running(one):
        until(lambda: len(first) == 10, "the first group has all")
    topics.put(orders, [(0, record(10))])
    with running(one), running(other):
        until(lambda: len(first) == 11 and len(second) == 11, "both have all")
    assert sorted(first) == sorted(second) == list(range(11))


def test_two_members_share_the_partitions_and_keep_the_order_of_each_key(app, topics: Topics, orders: str):
    """A second process must make it faster, not wrong (S65)."""
    seen: list[tuple[str, TableAction]] = []
    one, other = app("shared"), app("shared")
    one.on("shop.orders", records=True)(lambda r: seen.append(("one", r)))
    other.on("shop.orders", records=True)(lambda r: seen.append(("other", r)))
    with running(one), running(other):
        until(lambda: len(members(topics, one.group)) == 2, "both are members")
        for begin in range(0, 4000, 400):
            topics.put(orders, [(n % 4, record(n, pk=(n % 40,))) for n in range(begin, begin + 400)])
        until(lambda: len({r.seq for _, r in seen}) == 4000, "all records arrived")
    assert {who for who, _ in seen} == {"one", "other"}
    for key in range(40):
        firsts = list(dict.fromkeys(r.seq for _, r in seen if r.pk == (key,)))
        assert firsts == sorted(firsts)


def members(topics: Topics, group: str) -> list[Any]:
    described = topics.admin.describe_consumer_groups([group])[group].result(30)
    return [one for one in described.members if one.assignment.topic_partitions]


def test_a_member_that_comes_and_goes_under_load_loses_nothing(app, topics: Topics, orders: str):
    """Deployments roll while records flow: what is in flight is finished or comes again."""
    seen: list[int] = []
    steady = app("rolling")
    steady.on("shop.orders")(seen.append)
    total = 0
    with running(steady):
        for _ in range(4):
            passing = app("rolling")
            passing.on("shop.orders")(seen.append)
            with running(passing):
                topics.put(orders, [(n % 4, record(n)) for n in range(total, total + 500)])
                total += 500
                until(lambda all_=total: len(set(seen)) == all_, f"{total} records arrived")
    assert set(seen) == set(range(2000))


KILLED = """
import os, sys, time, meepo2_cdc
app = meepo2_cdc.App(bootstrap_servers=sys.argv[1], prefix=sys.argv[2], group=sys.argv[3])
out = os.open(sys.argv[4], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@app.on("shop.orders", workers=2)
def handle(pk):
    os.write(out, f"{pk}\\n".encode())
    if sys.argv[5] == "slow":
        time.sleep(0.002)

print("ready", file=sys.stderr, flush=True)
app.run()
"""


def test_a_killed_application_handles_everything_after_its_restart(
    kafka: str, prefix: str, topics: Topics, orders: str, tmp_path: Path
):
    """What lay in its memory when it died was lost in the predecessor (S75, S76)."""
    topics.put(orders, [(n % 4, record(n)) for n in range(1000)])
    log = tmp_path / "handled"
    group = f"{prefix}.killed"
    program = [sys.executable, "-c", KILLED, kafka, prefix, group, str(log)]
    settings = {"MEEPO2_RUN_COMMIT_INTERVAL_MS": "20", "MEEPO2_KAFKA_SESSION_TIMEOUT_MS": "6000"}

    def handled() -> list[int]:
        return [int(line) for line in log.read_text().splitlines()] if log.exists() else []

    for at_least in (150, 400):
        first = Running(["slow"], settings, program)
        until(lambda least=at_least: len(set(handled())) >= least, f"{at_least} were handled")
        first.process.kill()
        first.process.wait()
    assert len(set(handled())) < 1000
    second = Running(["quick"], settings, program)
    until(lambda: len(set(handled())) == 1000, "all were handled")
    second.process.terminate()
    assert second.process.wait(60) == 0


def test_a_stop_commits_what_was_handled(app, topics: Topics, orders: str):
    """Otherwise each deployment handles the last second again (S78)."""
    topics.put(orders, TEN)
    seen: list[int] = []
    for _ in range(2):
        application = app("stopping")
        application.on("shop.orders")(seen.append)
        with running(application):
            group = application.group
            until(lambda of=group: len(seen) == 10 and lag(topics, of, orders) == 0, "handled and committed")
    assert sorted(seen) == list(range(10))


def test_the_lag_of_an_idle_group_is_zero(app, topics: Topics, orders: str):
    """Markers of transactions behind the last record would otherwise show as a lag for ever."""
    topics.put(orders, TEN)
    application = app("idle")
    application.on("shop.orders")(lambda pk: None)
    with running(application):
        until(lambda: lag(topics, application.group, orders) == 0, "the lag is zero")
    assert committed(topics, application.group, orders) == {
        one.number: extent.end
        for one, extent in extents(topics.admin, [Partition(orders, n) for n in range(4)]).items()
    }


def test_the_topic_of_a_new_table_is_read_from_its_beginning(app, topics: Topics, prefix: str, orders: str):
    """Rows that were written before the topic was noticed must not be missed."""
    seen: list[int] = []
    application = app("later")
    application.on("shop.*")(seen.append)
    with running(application):
        topics.put(orders, [(0, record(1))])
        until(lambda: seen == [1], "the first table's record arrived")
        later = topics.create(f"{prefix}.shop.items", 1, retention_ms="-1")
        topics.put(later, [(0, record(2, table="items"))])
        until(lambda: seen == [1, 2], "the second table's record arrived")


def test_a_group_that_begins_at_the_latest_hears_only_what_comes_then(
    app, topics: Topics, orders: str, monkeypatch: pytest.MonkeyPatch
):
    """A cache that is empty anyway need not replay a year; but once it has begun, nothing is left out."""
    monkeypatch.setenv("MEEPO2_RUN_START", "latest")
    topics.put(orders, TEN)
    seen: list[int] = []
    for extra in (100, 101):
        application = app("latest")
        application.on("shop.orders")(seen.append)
        if extra == 101:
            topics.put(orders, [(1, record(55))])  # while nobody ran
        with running(application):
            until(lambda of=application.group: len(members(topics, of)) == 1, "it is a member")
            topics.put(orders, [(0, record(extra))])
            until(lambda n=extra: n in seen, "the new record arrived")
    assert sorted(seen) == [55, 100, 101]


def test_a_position_that_was_removed_is_told_and_nothing_is_skipped(app, topics: Topics, orders: str):
    """Retention that ran over an idle group is a loss; going on at the earliest would hide it."""
    topics.put(orders, TEN)
    application = app("removed")
    application.on("shop.orders")(lambda pk: None)
    with running(application):
        until(lambda: lag(topics, application.group, orders) == 0, "all was done")
    topics.put(orders, [(0, record(n)) for n in range(20, 30)])
    topics.remove_before(orders, 0, 10)
    again = app("removed")
    again.on("shop.orders")(lambda pk: None)
    with pytest.raises(PositionLost, match="stands at an offset"):
        again.run()


def test_an_application_without_a_group_or_a_function_says_so(kafka: str, prefix: str):
    """Both are forgotten easily, and neither has a sensible default."""
    with pytest.raises(ConfigError, match="no consumer group"):
        meepo2_cdc.App(bootstrap_servers=kafka, prefix=prefix)
    with pytest.raises(ConfigError, match="no function"):
        meepo2_cdc.App(bootstrap_servers=kafka, prefix=prefix, group="x").run()
    with pytest.raises(ConfigError, match="no schema"):
        meepo2_cdc.App(bootstrap_servers=kafka, prefix=prefix, group="x").on("user")


def test_settings_of_the_application_are_read_like_those_of_the_commands(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One file serves the capture, the connectors and the applications."""
    file = tmp_path / "meepo2.toml"
    file.write_text(f'prefix = "p"\n[kafka]\n"bootstrap.servers" = "{kafka}"\n[run]\ngroup = "from-file"\n')
    assert meepo2_cdc.App(config=file).group == "from-file"
    monkeypatch.setenv("MEEPO2_RUN_GROUP", "from-variable")
    assert meepo2_cdc.App(config=file).group == "from-variable"
    assert meepo2_cdc.App(config=file, group="given").group == "given"


def test_a_group_is_not_disturbed_by_consumers_of_another_language(app, topics: Topics, orders: str, kafka: str):
    """The topics are a contract: who reads them in parallel takes nothing away."""
    topics.put(orders, TEN)
    other = Consumer({"bootstrap.servers": kafka, "group.id": "plain", "auto.offset.reset": "earliest"})
    other.assign([TopicPartition(orders, n, 0) for n in range(4)])
    seen: list[int] = []
    application = app("beside")
    application.on("shop.orders")(seen.append)
    with running(application):
        until(lambda: len(seen) == 10, "all arrived")
    other.close()
