"""
Where consumers of the predecessor lost events: away for long, a message that is none, a broker that is restarted.

What else of its scenarios there is stands beside the thing that it is about; the S numbers find it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

import meepo2_cdc
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder
from tests.acceptance.conftest import ServerNamed
from tests.command import Outcome, Running, until
from tests.faults import workload
from tests.faults.comparison import differences
from tests.faults.watching import wait_for_progress
from tests.history import consumer
from tests.scenes import MakeScene, Scene, Server
from tests.services import native
from tests.sources import known_sources

EVENTS, AT_ONCE = 500_000, 100_000
_TENS = " UNION ALL ".join(f"SELECT {n}" + (" d" if n == 0 else "") for n in range(10))


def test_a_consumer_that_is_paused_during_500_000_events_receives_500_000(scene: Scene) -> None:
    """S60.  The predecessor's queue was full after a thousand, and dropped the rest."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)")
    scene.capture()
    scene.run("INSERT INTO test VALUES (-1)")
    scene.wait_for(1)
    reading: Consumer = consumer(scene.kafka, **{"group.id": f"{scene.prefix}-paused"})
    with closing(reading):
        reading.subscribe([scene.topic("test")])
        first = until(lambda: reading.poll(0.1), "the first record")
        assert ActionDecoder().action(first.value()).pk == (-1,)
        reading.pause(reading.assignment())
        for begin in range(0, EVENTS, AT_ONCE):
            insert(scene, begin)
            assert reading.poll(0) is None
        until(lambda: reading.poll(0.1) or seq_of(scene) == seq_of_first(first) + EVENTS, "all are in Kafka", 240)
        reading.resume(reading.assignment())
        assert sorted(keys(reading, EVENTS)) == list(range(EVENTS))
        assert reading.poll(0) is None


def insert(scene: Scene, begin: int) -> None:
    number = " + ".join(f"d{n}.d * {10**n}" for n in range(5))
    scene.run(f"INSERT INTO test SELECT {begin} + {number} FROM " + ", ".join(f"({_TENS}) d{n}" for n in range(5)))


def seq_of(scene: Scene) -> int:
    checkpoint = scene.checkpoint()
    assert checkpoint is not None
    return checkpoint.seq


def seq_of_first(message: object) -> int:
    return ActionDecoder().action(message.value()).seq  # type: ignore[attr-defined]


def keys(reading: Consumer, count: int) -> list[int]:
    decode = ActionDecoder().action
    found: list[int] = []
    while len(found) < count:
        messages = until(lambda: reading.consume(10_000, timeout=0.1), f"{count} records; {len(found)} came")
        for message in messages:
            assert message.error() is None, message.error()
            found.append(decode(message.value()).pk[0])  # type: ignore[arg-type]
    return found


# -- rows that a foreign key takes along


@pytest.mark.parametrize("server", known_sources())
def test_children_that_go_with_their_parent_are_delivered_or_listed_by_check(
    server: str, server_named: ServerNamed, make_scene: MakeScene
) -> None:
    """S20.  The predecessor lost them, and nowhere said so."""
    scene = make_scene(server_named(server))
    scene.run(
        "CREATE TABLE parent (id INT PRIMARY KEY)",
        "CREATE TABLE child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent)"
        " REFERENCES parent (id) ON DELETE CASCADE)",
        "INSERT INTO parent VALUES (1)",
        "INSERT INTO child VALUES (10, 1)",
        "DELETE FROM parent",
    )
    scene.caught_up()
    delivered = ("delete", (10,)) in scene.changes("child")
    listed = f"1 tables whose rows foreign keys change without a trace in the log: {scene.database}.child"
    assert delivered == (server == "mysql9")
    assert (listed in scene.command("check").out) == (not delivered)


# -- a message that is no record; what an application does with it is in tests/integration/test_app.py


def test_replay_shows_all_in_front_of_a_message_that_is_no_record_and_tells_how_to_go_on(scene: Scene) -> None:
    """S63.  What is read ahead must not swallow good records, and what is bad not be passed over in silence."""
    scene.run("CREATE TABLE test (id INT PRIMARY KEY)", "INSERT INTO test VALUES (1), (2), (3)")
    scene.caught_up(MEEPO2_TOPICS_PARTITIONS="1")
    offset = put_junk(scene)
    scene.run("INSERT INTO test VALUES (4), (5)")
    scene.caught_up()

    stopped = scene.command("replay", "--json")
    assert stopped.code == 5
    assert printed(stopped) == [1, 2, 3]
    topic = scene.topic("test")
    assert f"{topic}[0] offset {offset}:" in stopped.complaint
    assert f"meepo2-cdc replay --topic {topic} --from-offset 0:{offset + 1}" in stopped.complaint

    further = scene.command("replay", "--json", "--topic", topic, "--from-offset", f"0:{offset + 1}")
    assert further.code == 0, further.err
    assert printed(further) == [4, 5]


def put_junk(scene: Scene) -> int:
    """A message from somebody else; its offset."""
    placed: list[int] = []
    producer = Producer({"bootstrap.servers": scene.kafka})
    producer.produce(
        scene.topic("test"), b"no record of ours", partition=0, on_delivery=lambda _, one: placed.append(one.offset())
    )
    assert producer.flush(30) == 0
    return placed[0]


def printed(outcome: Outcome) -> list[int]:
    return [json.loads(line)["pk"][0] for line in outcome.out.splitlines()]


# -- a broker that is restarted


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[native.PrivateKafka]:
    with native.kafka(tmp_path, 0, {}) as running:
        yield running


def test_after_a_restart_of_the_broker_under_load_an_application_goes_on_by_itself_and_has_lost_nothing(
    broker: native.PrivateKafka, own_mysql: Server, prefix: str
) -> None:
    """S66.  The predecessor's subscriber had to be started again, and what was sent meanwhile was gone."""
    with closing(Scene(own_mysql, broker.address, prefix)) as scene:
        workload.prepare(scene)
        supervised = Supervised(scene)
        load = workload.Load(scene, 1)
        load.start()
        try:
            with heard_by_an_application(scene) as heard:
                wait_for_progress(scene)
                until(lambda: heard, "the application hears the first changes")
                broker.stop()
                broker.start()
                before = len(heard)
                supervised.goes_on()
                until(lambda: len(heard) > before, "the application goes on")
                load.stop()
                supervised.stop()
                scene.caught_up()
                there = {action.seq for read in scene.reads() if (action := read.action)}
                until(lambda: {one.seq for one in heard} >= there, "the application has heard all")
        finally:
            load.stop()
        assert differences(scene) == []


class Supervised:
    """A capture, and another one when it has given up, as a supervisor would do it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._capture: Running = scene.capture()

    def goes_on(self) -> None:
        """On a slow machine a broker is away for longer than messages wait for it, which is ten seconds."""
        before = seq_of(self._scene)
        until(lambda: not self._capture.runs or seq_of(self._scene) > before, "it goes on, or ends")
        if not self._capture.runs:
            self._capture = self._scene.capture()
            wait_for_progress(self._scene)

    def stop(self) -> None:
        assert self._capture.stop().code == 0, self._capture.said


@contextmanager
def heard_by_an_application(scene: Scene) -> Iterator[list[TableAction]]:
    """What an application of the public kind hears while the block runs; it must end in order."""
    heard: list[TableAction] = []
    failed: list[BaseException] = []
    application = meepo2_cdc.App(bootstrap_servers=scene.kafka, prefix=scene.prefix, group=f"{scene.prefix}.heard")
    application.on(f"{scene.database}.*", records=True)(heard.append)

    def run(run: Callable[[], None] = application.run) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield heard
    finally:
        application.stop()
        thread.join(60)
    assert not thread.is_alive()
    assert failed == []
