"""
The commands that consume: what is installed, how it is set up, run, replayed, and what becomes of what fails.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions

import meepo2_cdc
from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.records import Action
from tests.command import COMMAND, Outcome, Running, environment, run, until
from tests.journal import CONNECTOR, Journal, install, judge
from tests.kafka import COMMITTED_AT, Topics, produce, record

BUNDLED = {
    "event_store", "sql_replicator", "redis_replicator", "elasticsearch_sync", "signals", "zmq", "nanomsg", "statsd",
    "rq", "webhook",
}  # fmt: skip


@pytest.fixture
def topics(kafka: str) -> Topics:
    return Topics(kafka)


@pytest.fixture
def orders(topics: Topics, prefix: str) -> str:
    return topics.create(f"{prefix}.shop.orders", 4)


@pytest.fixture
def journal(tmp_path: Path, kafka: str, prefix: str) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "installed", kafka, prefix)) as made:
        yield made


def put(topics: Topics, topic: str, count: int, first: int = 0) -> dict[int, tuple[object, ...]]:
    """Writes, of `count` keys that have not been there."""
    rows = [record(seq) for seq in range(first, first + count)]
    topics.put(topic, [(one.seq % 4, one) for one in rows])
    return {one.seq: one.pk for one in rows}


def all_committed(topics: Topics, group: str, topic: str) -> bool:
    answer = topics.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)
    ends = extents(topics.admin, [Partition(topic, n) for n in range(4)])
    return {one.partition: one.offset for one in answer.topic_partitions} == {
        one.number: extent.end for one, extent in ends.items()
    }


def command(journal: Journal, *arguments: str, **settings: str) -> Outcome:
    return run(*arguments, settings={**journal.settings, **settings})


# -- what is installed


def test_connectors_of_any_package_are_listed_without_being_needed(tmp_path: Path) -> None:
    """A connector that somebody wrote must show up beside ours, and a broken one must not hide the others."""
    install(tmp_path, "journal", CONNECTOR, "1.2")
    install(tmp_path, "parcel", "import a_module_that_nobody_has")
    install(tmp_path, "other", "connector = 'nothing of the kind'")
    outcome = run("connectors", settings={"PYTHONPATH": str(tmp_path)})
    assert (outcome.code, outcome.err) == (0, "")
    rows = {line.split()[0]: line for line in outcome.out.splitlines()[1:]}
    assert set(rows) == BUNDLED | {"journal", "parcel", "other"}
    assert "ready" in rows["journal"]
    assert "journal-connector 1.2" in rows["journal"]
    assert "Append to a file." in rows["journal"]
    assert "lacks a_module_that_nobody_has" in rows["parcel"]
    assert "is no Connector" in rows["other"]
    in_json = run("connectors", "--json", settings={"PYTHONPATH": str(tmp_path)})
    found = {one["name"]: one for one in map(json.loads, in_json.out.splitlines())}
    assert found["journal"] == {
        "name": "journal", "package": "journal-connector 1.2", "summary": "Append to a file.", "lacks": None,
    }  # fmt: skip
    assert found["parcel"]["lacks"] == "a_module_that_nobody_has"


def test_a_connector_that_lacks_a_module_says_what_to_install(tmp_path: Path) -> None:
    """An ImportError's traceback does not tell which extra it is."""
    install(tmp_path, "parcel", "import a_module_that_nobody_has")
    outcome = run("run", "parcel", settings={"PYTHONPATH": str(tmp_path)})
    assert outcome.code == 2
    assert "needs the module a_module_that_nobody_has" in outcome.complaint
    assert "pip install 'parcel-connector[parcel]'" in outcome.complaint


# -- settings


def test_what_is_missing_or_unknown_is_told_before_anything_is_connected(journal: Journal, tmp_path: Path) -> None:
    """A typing error that is ignored runs for weeks with a default that nobody wanted."""
    missing = {name: value for name, value in journal.settings.items() if name != "MEEPO2_JOURNAL_PATH"}
    file = tmp_path / "wrong.toml"
    file.write_text("[journal]\npaht = '/tmp/journal'\n")
    for arguments, settings, expected in [
        (("journall",), journal.settings, "there is no connector 'journall'; did you mean journal?"),
        (("nonesuch",), journal.settings, "installed are"),
        (("journal",), missing, "journal.path"),
        (("journal",), {**journal.settings, "MEEPO2_JOURNAL_PAHT": "x"}, "MEEPO2_JOURNAL_PAHT"),
        (("journal",), {**journal.settings, "MEEPO2_JOURNAL_SECONDS": "soon"}, "MEEPO2_JOURNAL_SECONDS"),
        (("journal",), {**journal.settings, "MEEPO2_RUN_WORKERS": "0"}, "MEEPO2_RUN_WORKERS"),
        (("journal", "--config", str(file)), journal.settings, "did you mean 'path'?"),
    ]:
        outcome = run("run", *arguments, settings=settings)
        assert outcome.code == 2, (arguments, outcome.err)
        assert expected in outcome.complaint, outcome.complaint


SECRETIVE = '''
from pydantic import SecretStr
from meepo2_cdc.replay.sink import Connector, ConnectorSettings
from meepo2_cdc.errors import ConfigError

class Settings(ConnectorSettings):
    token: SecretStr
    """What nobody may see."""
    colour: str = "grey"
    """Which."""

class Sink:
    def __init__(self, own):
        self.own = own
    def open(self):
        length = len(self.own.token.get_secret_value())
        raise ConfigError(f"opened with {length} letters, {self.own.colour}, {self.own}")

connector = Connector("Tells its settings.", Settings, lambda own, context: Sink(own))
'''


def test_a_connector_s_settings_come_from_file_variable_and_secret_file(
    tmp_path: Path, kafka: str, prefix: str
) -> None:
    """One way to set everything up; and a secret in a mounted file never shows in a message."""
    install(tmp_path, "secretive", SECRETIVE)
    (tmp_path / "token").write_text("hunter2-x\n")
    file = tmp_path / "all.toml"
    file.write_text(f'[secretive]\ncolour = "red"\ntoken_file = "{tmp_path}/token"\n[run]\nworkers = 1\n')
    settings = {
        "PYTHONPATH": str(tmp_path), "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka, "MEEPO2_PREFIX": prefix,
    }  # fmt: skip
    by_file = run("run", "secretive", "--config", str(file), settings=settings)
    assert by_file.code == 2
    assert "opened with 9 letters, red" in by_file.complaint
    override = {"MEEPO2_SECRETIVE_COLOUR": "blue", "MEEPO2_SECRETIVE_TOKEN": "another"}
    by_variable = run("run", "secretive", "--config", str(file), settings={**settings, **override})
    assert "opened with 7 letters, blue" in by_variable.complaint
    assert "hunter2" not in by_file.err + by_file.out
    assert "another'" not in by_variable.err


# -- running


def test_a_stop_loses_nothing_and_the_next_start_repeats_nothing(journal: Journal, topics: Topics, orders: str) -> None:
    """A deployment is a stop and a start; exit 0 tells that all that was read was applied (S78)."""
    written = put(topics, orders, 3000)
    first = journal.start(
        MEEPO2_JOURNAL_SECONDS="0.001", MEEPO2_RUN_BATCH_RECORDS="10", MEEPO2_RUN_RECORDS_IN_FLIGHT="100"
    )
    journal.wait(lambda: len(journal.lines()) > 50, "it is applying")
    stopped = first.stop()
    assert stopped.code == 0, stopped.err
    assert len(journal.lines()) < 3000
    second = journal.start()
    second.wait_for("Partitions were assigned")
    journal.wait(lambda: journal.seqs() == set(written), "all was applied")
    assert second.stop(signal.SIGINT).code == 0
    assert judge(journal.lines(), written) == 0


def test_two_processes_share_the_partitions(journal: Journal, topics: Topics, orders: str) -> None:
    """What one cannot do two must do together, not each all of it."""
    one, other = journal.start(), journal.start()
    written: dict[int, tuple[object, ...]] = {}

    def both_work() -> bool:
        written.update(put(topics, orders, 20, len(written)))
        return {line.pid for line in journal.lines()} >= {one.pid, other.pid}

    journal.wait(both_work, "both apply records")
    journal.wait(lambda: journal.seqs() == set(written), "all was applied")
    assert one.stop().code == other.stop().code == 0
    judge(journal.lines(), written)


def test_memory_is_bounded_by_the_records_in_flight(journal: Journal, topics: Topics, orders: str) -> None:
    """A target that is slower than the source must hold the reading back, not fill the memory."""
    put(topics, orders, 120_000)
    idle = journal.start(MEEPO2_RUN_GROUP="idle", MEEPO2_TABLES="shop.nothing")
    idle.wait_for("There is no topic to read yet")
    slow = journal.start(MEEPO2_JOURNAL_SECONDS="0.0005", MEEPO2_RUN_RECORDS_IN_FLIGHT="2000")
    journal.wait(lambda: len(journal.lines()) > 5000, "it is applying")
    grown = slow.resident_bytes() - idle.resident_bytes()
    prefetched = 33 << 20  # queued.max.messages.kbytes, librdkafka's own
    assert grown < prefetched + 2 * 2000 * 4096, f"{grown >> 20} MiB for 2000 records in flight"
    slow.kill()


def test_the_lag_of_a_light_load_is_short(journal: Journal, topics: Topics, orders: str) -> None:
    """From the transaction's commit to the sink's file; printed, and only a gross delay fails."""
    one = journal.start()
    put(topics, orders, 4)
    journal.wait(lambda: len(journal.lines()) == 4, "it runs")
    lags = []
    with topics.producer() as producer:
        for seq in range(4, 104):
            producer.begin_transaction()
            produce(producer, orders, seq % 4, record(seq))
            producer.commit_transaction(30)
            began = time.monotonic()
            while seq not in {line.seq for line in journal.lines()[-5:]}:
                assert time.monotonic() - began < 30, one.said
            lags.append(time.monotonic() - began)
    lags.sort()
    print(f"commit to sink: p50 {lags[50] * 1000:.1f} ms, p99 {lags[99] * 1000:.1f} ms")
    assert lags[50] < 2.0
    assert one.stop().code == 0


def test_stop_on_failure_ends_with_the_record_s_place(journal: Journal, topics: Topics, orders: str) -> None:
    """Who sets nothing aside wants to be woken at the first failure, and to go on with that record afterwards."""
    put(topics, orders, 12)
    topics.put(orders, [(1, record(12, pk=(13,)))])
    journal.refused.touch()
    outcome = journal.start(MEEPO2_RUN_ON_FAILURE="stop").end()
    assert outcome.code == 1
    assert f"{orders}[1] offset " in outcome.complaint
    assert "thirteen is refused" in outcome.complaint
    journal.refused.unlink()
    again = journal.start(MEEPO2_RUN_ON_FAILURE="stop")
    journal.wait(lambda: journal.seqs() == set(range(13)), "it went on with that record")
    assert again.stop().code == 0
    with topics.transaction(orders) as producer:
        producer.produce(orders, b"no record", b"key", 0)
    unreadable = journal.start(MEEPO2_RUN_ON_FAILURE="stop").end()
    assert unreadable.code == 5
    assert f"{orders}[0] offset " in unreadable.complaint


def test_an_application_that_is_stopped_while_it_starts_does_not_run_for_ever(
    kafka: str, prefix: str, orders: str
) -> None:
    """A deployment that fails elsewhere stops everything at once, also what has only just begun."""
    app = meepo2_cdc.App(kafka, prefix, f"{prefix}.early")
    app.on("shop.orders")(lambda pk: None)
    app.stop()
    thread = threading.Thread(target=app.run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


# -- dead letters


def test_dead_letters_from_the_failure_to_the_end(journal: Journal, topics: Topics, orders: str) -> None:
    """What is set aside must be found, understood, applied once mended, and then be gone from the list."""
    topics.put(orders, [(0, record(n, pk=(pk,))) for n, pk in enumerate((12, 13, 14))])
    topics.put(orders, [(1, record(3, pk=(13, "too"))), (1, record(4, pk=(15,)))])
    journal.refused.touch()
    one = journal.start()
    journal.wait(lambda: all_committed(topics, journal.group, orders), "all was applied or set aside")
    assert one.stop().code == 0
    assert {line.pk for line in journal.lines()} == {(12,), (14,), (15,)}

    listed = command(journal, "dead-letters", "list", "journal", "--json")
    letters = [json.loads(line) for line in listed.out.splitlines()]
    assert sorted(one["record"] for one in letters) == ["shop.orders write 13", "shop.orders write 13, 'too'"]
    assert {one["headers"]["__connect.errors.exception.message"] for one in letters} == {"thirteen is refused"}
    shown = command(journal, "dead-letters", "show", "journal", "0")
    assert "thirteen is refused" in shown.out
    failed = command(journal, "dead-letters", "replay", "journal", "--all")
    assert failed.code == 1
    assert "0 applied, 2 set aside again" in failed.err
    waiting = [
        json.loads(one) for one in command(journal, "dead-letters", "list", "journal", "--json").out.splitlines()
    ]
    assert {one["headers"]["__connect.errors.topic"] for one in waiting} == {orders}

    journal.refused.unlink()
    mine = next(one["offset"] for one in waiting if one["record"] == "shop.orders write 13")
    replayed = command(journal, "dead-letters", "replay", "journal", str(mine))
    assert (replayed.code, replayed.err) == (0, "1 applied, 0 set aside again\n")
    assert journal.lines()[-1].pk == (13,)
    dropped = command(journal, "dead-letters", "drop", "journal", "--all")
    assert (dropped.code, dropped.err) == (0, "1 dropped\n")
    assert command(journal, "dead-letters", "list", "journal", "--json").out == ""


def test_dead_letters_that_the_settings_now_leave_out_are_not_counted_as_applied(
    journal: Journal, topics: Topics, orders: str
) -> None:
    """They would be marked as dealt with, and nobody had applied them: a loss that reports success."""
    topics.put(orders, [(0, record(0, pk=(13,)))])
    journal.refused.touch()
    one = journal.start()
    journal.wait(lambda: all_committed(topics, journal.group, orders), "it was set aside")
    one.stop()
    journal.refused.unlink()
    outcome = command(journal, "dead-letters", "replay", "journal", "--all", MEEPO2_TABLES="shop.other")
    assert outcome.code == 2, outcome.err
    assert "shop.orders" in outcome.complaint
    assert len(command(journal, "dead-letters", "list", "journal", "--json").out.splitlines()) == 1


def test_more_dead_letters_than_the_producer_holds_are_dropped_together(
    journal: Journal, topics: Topics, orders: str
) -> None:
    """After an accident there are hundreds of thousands, and the producer's queue is finite."""
    with topics.transaction(orders) as producer:
        for _ in range(8):
            producer.produce(orders, b"no record", b"key", 0)
    one = journal.start()
    journal.wait(lambda: all_committed(topics, journal.group, orders), "they were set aside")
    one.stop()
    dropped = command(
        journal, "dead-letters", "drop", "journal", "--all", MEEPO2_KAFKA_QUEUE_BUFFERING_MAX_MESSAGES="2"
    )
    assert (dropped.code, dropped.err) == (0, "8 dropped\n")
    assert command(journal, "dead-letters", "list", "journal", "--json").out == ""


LOQUACIOUS = """
from meepo2_cdc.replay.sink import Connector, ConnectorSettings, Rejected

class Sink:
    def open(self): ...
    def apply(self, batch):
        raise Rejected("because " * 300_000, batch)
    def close(self): ...

connector = Connector("Refuses at length.", ConnectorSettings, lambda own, context: Sink())
"""


def test_a_reason_of_any_length_becomes_a_dead_letter(journal: Journal, topics: Topics, orders: str, tmp_path: Path):
    """A target that answers with megabytes would otherwise end the process at the same record for ever."""
    install(Path(journal.settings["PYTHONPATH"]), "loquacious", LOQUACIOUS)
    put(topics, orders, 1)
    running = Running(["run", "loquacious"], journal.settings)
    journal.running.append(running)
    group = journal.group.replace("journal", "loquacious")
    journal.wait(lambda: all_committed(topics, group, orders), "it was set aside")
    assert running.stop().code == 0
    assert "because because" in command(journal, "dead-letters", "show", "loquacious", "0").out


# -- replay


@pytest.fixture
def mixed(topics: Topics, orders: str) -> str:
    """Ten writes a millisecond apart, an update and a delete of each, and records of another table."""
    for action, first in ((Action.WRITE, 0), (Action.UPDATE, 10), (Action.DELETE, 20)):
        topics.put(orders, [(n % 4, record(first + n, pk=(n,), action=action)) for n in range(10)])
    lines = topics.create(orders.replace("orders", "order_lines"), 1)
    topics.put(lines, [(0, record(30 + n, table="order_lines")) for n in range(5)])
    return orders


def at(milliseconds: int) -> str:
    return (COMMITTED_AT.replace(microsecond=0) + timedelta(milliseconds=milliseconds)).isoformat()


@pytest.mark.parametrize(
    ("flags", "seqs"),
    [
        ((), range(35)),
        (("--action", "delete"), range(20, 30)),
        (("--table", "shop.orders"), range(30)),
        (("--table", "*.order_*", "--action", "write"), range(30, 35)),
        (("--from-timestamp", at(20), "--to-timestamp", at(30)), range(20, 30)),
        (("--from-offset", "latest"), ()),
    ],
    ids=str,
)
def test_a_replay_applies_what_was_asked_for(journal: Journal, mixed: str, flags: tuple[str, ...], seqs: object):
    """A target is mended with the records that it lacks, not with a year of them; and the group stays where it is."""
    expected = set(seqs)  # type: ignore[call-overload]
    counted = command(journal, "replay", "journal", "--dry-run", "--json", *flags)
    assert counted.code == 0, counted.err
    assert sum(json.loads(line)["records"] for line in counted.out.splitlines()) == len(expected)
    assert not journal.path.exists()
    outcome = command(journal, "replay", "journal", *flags)
    assert outcome.code == 0, outcome.err
    assert journal.seqs() == expected
    assert f"{len(expected)} records applied, 0 set aside" in outcome.err


def test_a_limit_counts_what_the_connector_is_given(journal: Journal, mixed: str) -> None:
    """Records that the settings leave out would otherwise use the limit up, and be reported as applied."""
    outcome = command(journal, "replay", "journal", "--limit", "3", MEEPO2_TABLES="shop.order_lines")
    assert outcome.code == 0, outcome.err
    assert len(journal.lines()) == 3
    assert {line.table for line in journal.lines()} == {"order_lines"}
    assert "3 records applied, 0 set aside" in outcome.err
    everything = command(journal, "replay", "journal", MEEPO2_TABLES="shop.order_lines")
    assert "5 records applied, 0 set aside" in everything.err


def test_a_replay_with_failures_says_so_and_names_the_way_on(journal: Journal, topics: Topics, mixed: str) -> None:
    """A script must not take a replay for whole that was not."""
    topics.put(mixed, [(1, record(40, pk=(13,)))])
    with topics.transaction(mixed) as producer:
        producer.produce(mixed, b"no record", b"key", 0)
    journal.refused.touch()
    counted = command(journal, "replay", "journal", "--dry-run")
    assert counted.code == 0, counted.err
    assert "unreadable" in counted.out
    outcome = command(journal, "replay", "journal")
    assert outcome.code == 1
    assert "35 records applied, 2 set aside" in outcome.err
    assert "meepo2-cdc dead-letters list journal" in outcome.complaint


def test_a_replay_that_is_interrupted_while_it_still_applies_does_not_report_success(
    journal: Journal, mixed: str
) -> None:
    """All was read, but not all applied: exit 0 would hide what is missing."""
    one_by_one = {"MEEPO2_RUN_WORKERS": "1", "MEEPO2_RUN_BATCH_RECORDS": "1", "MEEPO2_JOURNAL_SECONDS": "0.02"}
    settings = {**journal.settings, **one_by_one, "MEEPO2_RUN_STOP_SECONDS": "0.5"}
    slow = Running(["replay", "journal", "--limit", "34"], settings)
    journal.running.append(slow)
    journal.wait(lambda: len(journal.lines()) > 2, "it applies")
    journal.away.touch()
    slow.wait_for("The target was not ready")
    slow.send(signal.SIGINT)
    outcome = slow.end()
    assert len(journal.seqs()) < 35
    assert outcome.code == 130, outcome.err
    assert "stopped before the end" in outcome.err


def test_a_replay_shows_its_progress_on_a_terminal(journal: Journal, mixed: str) -> None:
    """A long replay that says nothing is killed by whoever waits for it."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [str(COMMAND), "replay", "journal"], env=environment({**journal.settings, "TERM": "xterm"}),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    said = b""

    def ended() -> bool:
        nonlocal said
        if select.select([leader], [], [], 0)[0]:
            try:
                said += os.read(leader, 65536)
            except OSError:  # Linux's end of file on a terminal whose other side is closed
                return True
        return False

    until(ended, "the terminal was closed")
    os.close(leader)
    assert process.wait(60) == 0
    assert b"/" in said
    assert "━".encode() in said
    assert b"35 records applied" in said


# -- a connector of ours


def test_signals_prints_what_was_written(kafka: str, prefix: str, topics: Topics, orders: str) -> None:
    """The shortest way from a change to something that can be seen."""
    put(topics, orders, 3)
    settings = {
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka, "MEEPO2_PREFIX": prefix, "MEEPO2_SIGNALS_PRINT": "true",
    }  # fmt: skip
    one = Running(["run", "signals"], settings)
    try:
        until(lambda: sorted(one.printed.splitlines()) == [f"orders_write {n}" for n in range(3)], "all was printed")
        assert one.stop().code == 0
    finally:
        one.kill()
