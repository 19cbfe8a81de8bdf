"""
Consumers that are killed, frozen, joined and left; brokers that go away; topics that change under them.

Whole histories are compared: every record at least once, those of a key first in their order.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import NewPartitions

from meepo2_cdc.kafka.offsets import Partition, extents
from tests.command import Running, until
from tests.faults.owned import LONG, OwnedKafka
from tests.journal import Journal, judge
from tests.kafka import Topics, record

SECONDS = float(os.environ.get("MEEPO2_FAULT_SECONDS", "0")) / 10 or 4.0
SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "17"))
SESSION = {
    "MEEPO2_KAFKA_SESSION_TIMEOUT_MS": "1500",
    "MEEPO2_KAFKA_HEARTBEAT_INTERVAL_MS": "200",
    "MEEPO2_KAFKA_RECONNECT_BACKOFF_MAX_MS": "500",
}
ASSIGNED = "Partitions were assigned"
KEYS = 60


class Load:
    """Writes records of KEYS keys, each key into a partition of its own choice, in transactions."""

    def __init__(self, topics: Topics, topic: str, partitions: int = 4) -> None:
        self.topics, self.topic, self.partitions = topics, topic, partitions
        self.written: dict[int, tuple[object, ...]] = {}
        self._chance = random.Random(SEED)  # noqa: S311 - a seed, no secret

    def put(self, count: int) -> None:
        first = len(self.written)
        rows = [record(seq, pk=(self._chance.randrange(KEYS),)) for seq in range(first, first + count)]
        self.topics.put(self.topic, [(int(str(one.pk[0])) % self.partitions, one) for one in rows])
        self.written.update({one.seq: one.pk for one in rows})

    @contextmanager
    def going_on(self, at_once: int = 200) -> Iterator[None]:
        """Writes in the background."""
        stop, raised = threading.Event(), []

        def write() -> None:
            try:
                while not stop.wait(0.05):
                    self.put(at_once)
            except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
                raised.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)
        if raised:
            raise raised[0]


@pytest.fixture
def topics(kafka: str) -> Topics:
    return Topics(kafka)


@pytest.fixture
def load(topics: Topics, prefix: str) -> Load:
    return Load(topics, topics.create(f"{prefix}.shop.orders", 4))


@pytest.fixture
def journal(tmp_path: Path, kafka: str, prefix: str) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "journal", kafka, prefix, **SESSION)) as made:
        yield made


def finished(journal: Journal, load: Load) -> int:
    """Waits for all that was written, and judges it; how many records came more than once."""
    journal.wait(lambda: set(load.written) <= journal.seqs(), f"all {len(load.written)} records arrived")
    return judge(journal.lines(), load.written)


def committed(topics: Topics, group: str, topic: str) -> dict[int, int]:
    answer = topics.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)
    return {one.partition: one.offset for one in answer.topic_partitions if one.topic == topic}


def all_committed(topics: Topics, group: str, topic: str) -> bool:
    count = len(topics.admin.list_topics(topic).topics[topic].partitions)
    ends = extents(topics.admin, [Partition(topic, n) for n in range(count)])
    return committed(topics, group, topic) == {one.number: extent.end for one, extent in ends.items()}


def stopped(one: Running) -> None:
    outcome = one.stop()
    assert outcome.code == 0, outcome.err


def test_consumers_that_are_killed_and_joined_at_random_lose_nothing(journal: Journal, load: Load) -> None:
    """A deployment, a crash, an eviction, at any moment: the records in flight come again, in their order."""
    chance = random.Random(SEED)  # noqa: S311 - a seed, no secret
    settings = {"MEEPO2_JOURNAL_SECONDS": "0.0005"}
    load.put(500)
    alive = [journal.start(**settings), journal.start(**settings)]
    kills = 0
    with load.going_on():
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            least = len(journal.lines()) + chance.randrange(1000)
            journal.wait(lambda enough=least: len(journal.lines()) >= enough, "it goes on")
            alive.pop(chance.randrange(len(alive))).send(
                chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
            )
            kills += 1
            alive.append(journal.start(**settings))
    repeated = finished(journal, load)
    print(f"seed {SEED}: {kills} ended, {len(load.written)} records, {repeated} repeated")
    for one in alive:
        one.kill()


@pytest.mark.parametrize(
    "crash", [False, True] if LONG else [True], ids=lambda crash: "killed" if crash else "restarted"
)
def test_a_broker_that_goes_away_is_waited_for(
    journal: Journal, load: Load, own_kafka: OwnedKafka, crash: bool
) -> None:
    """S66.  Nobody should have to start the consumers again because a broker was."""
    load.put(3000)
    one, other = journal.start(MEEPO2_JOURNAL_SECONDS="0.001"), journal.start(MEEPO2_JOURNAL_SECONDS="0.001")
    journal.wait(lambda: len(journal.lines()) > 300, "it is consuming")
    if crash:
        own_kafka.process.kill()
    else:
        own_kafka.process.stop()
    own_kafka.process.start()
    load.put(300)
    finished(journal, load)
    assert one.runs, one.said
    assert other.runs, other.said
    stopped(one)
    stopped(other)


def ready(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("meepo2_cdc_target_ready "))


def test_a_target_that_goes_away_is_told_and_waited_for(
    journal: Journal, load: Load, topics: Topics, free_port: int
) -> None:
    """An alarm needs the gauge, and what was read meanwhile must be neither lost nor set aside."""
    journal.away.touch()
    one = journal.start(MEEPO2_RUN_METRICS_PORT=str(free_port))
    one.wait_for("The target was not ready")
    journal.wait(lambda: ready(free_port) == "0.0", "it is not ready at the start")
    journal.away.unlink()
    one.wait_for(ASSIGNED)
    load.put(200)
    journal.wait(lambda: len(journal.seqs()) == 200, "all arrived")
    assert ready(free_port) == "1.0"
    journal.away.touch()
    load.put(5000)
    journal.wait(lambda: ready(free_port) == "0.0", "it is told to be away")
    assert not all_committed(topics, journal.group, load.topic)
    journal.away.unlink()
    finished(journal, load)
    journal.wait(lambda: ready(free_port) == "1.0", "it is ready again")
    journal.wait(lambda: all_committed(topics, journal.group, load.topic), "all is committed")
    stopped(one)
    assert "set aside" not in one.said


@pytest.fixture
def free_port() -> int:
    import socket

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


def test_partitions_that_are_added_while_it_runs_are_read(journal: Journal, load: Load, topics: Topics) -> None:
    """A topic that was widened has its new records in partitions that nobody was assigned yet."""
    load.put(100)
    one = journal.start(MEEPO2_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS="500")
    journal.wait(lambda: len(journal.seqs()) == 100, "it runs")
    topics.admin.create_partitions([NewPartitions(load.topic, 6)])[load.topic].result(30)
    journal.wait(lambda: len(topics.admin.list_topics(load.topic).topics[load.topic].partitions) == 6, "there are six")
    widened = Topics(topics.address)  # whose clients have seen all six
    for partition in (4, 5):
        seq = len(load.written)
        widened.put(load.topic, [(partition, record(seq, pk=(1000 + partition,)))])
        load.written[seq] = (1000 + partition,)
    finished(journal, load)
    stopped(one)


@pytest.mark.parametrize("runs", [True, False], ids=["while it runs", "while it is down"])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    journal: Journal, load: Load, topics: Topics, runs: bool
) -> None:
    """Offsets begin at 0 again: a position in the old topic would pass over the records of the new one in silence."""
    load.put(400)
    one = journal.start()
    journal.wait(lambda: len(journal.seqs()) == 400 and all_committed(topics, journal.group, load.topic), "all is done")
    if not runs:
        stopped(one)
    topics.admin.delete_topics([load.topic])[load.topic].result(30)
    until(lambda: load.topic not in topics.admin.list_topics(timeout=30).topics, "it is gone")
    topics.create(load.topic, 4)
    load.put(1200)  # more than the old one had: the old offsets are within it
    if runs:
        outcome = one.end()
        assert outcome.code == 1, outcome.err
        assert f"the topic {load.topic} was deleted and made anew" in outcome.complaint
    last = journal.start()
    journal.wait(lambda: {one.seq for one in journal.lines() if one.pid == last.pid} >= set(range(400, 1600)), "all")
    mine = [one for one in journal.lines() if one.pid == last.pid]
    assert judge(mine, {seq: pk for seq, pk in load.written.items() if seq >= 400}) == 0
    stopped(last)


def test_a_consumer_that_was_frozen_does_not_commit_over_its_successor(
    journal: Journal, load: Load, topics: Topics
) -> None:
    """Its offsets are older than those of whoever took over; committed last, they would make all of it come again."""
    load.put(2000)
    frozen = journal.start(MEEPO2_JOURNAL_SECONDS="0.002", MEEPO2_RUN_BATCH_RECORDS="10")
    journal.wait(lambda: len(journal.lines()) > 200, "it is consuming")
    frozen.send(signal.SIGSTOP)
    successor = journal.start()
    journal.wait(lambda: len(journal.seqs()) == 2000, "its successor has done everything")
    journal.wait(lambda: all_committed(topics, journal.group, load.topic), "and committed it")
    reached = committed(topics, journal.group, load.topic)
    frozen.send(signal.SIGCONT)
    journal.wait(lambda: "were lost" in frozen.said or frozen.said.count(ASSIGNED) > 1, "it noticed, and joined again")
    load.put(100)
    finished(journal, load)
    now = committed(topics, journal.group, load.topic)
    assert all(now[n] >= reached[n] for n in reached)
    journal.wait(lambda: all_committed(topics, journal.group, load.topic), "all is committed")
    stopped(frozen)
    stopped(successor)
    repeated = len(journal.lines()) - len(load.written)
    assert repeated < 1500, "it went on with partitions that were another's"


def test_members_that_come_and_go_while_the_sink_is_slow_keep_reading(journal: Journal, load: Load) -> None:
    """A slow sink pauses its partitions; one that moves away and comes back must not stay paused for ever."""
    slow: dict[str, str] = {
        "MEEPO2_JOURNAL_SECONDS": "0.004",
        "MEEPO2_RUN_RECORDS_IN_FLIGHT": "200",
        "MEEPO2_RUN_STOP_SECONDS": "2",
    }
    load.put(8000)
    steady = journal.start(**slow)
    journal.wait(lambda: len(journal.lines()) > 100, "it is consuming")
    for _ in range(3 if LONG else 1):
        passing = journal.start(**slow)
        journal.wait(lambda one=passing: any(line.pid == one.pid for line in journal.lines()), "it shares the work")
        before = len(journal.lines())
        journal.wait(lambda least=before + 200: len(journal.lines()) > least, "both go on")
        stopped(passing)
    stopped(steady)
    last = journal.start()
    load.put(100)
    finished(journal, load)
    stopped(last)
