"""
The connector `zmq`: a PUB socket, real subscribers.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import Action, TableAction
from meepo2_cdc.replay.sink import TryAgain
from meepo2_cdc.testing import Changes, TellingContract
from meepo2_connectors.zmq import connector as installed
from meepo2_connectors.zmq.settings import Settings
from meepo2_connectors.zmq.sink import ZmqSink
from tests.acceptance import tutorial
from tests.command import Running, until
from tests.connectors import telling
from tests.connectors.load import Load
from tests.scenes import Scene
from tests.services import running

SEED = int(os.environ.get("MEEPO2_FAULT_SEED", "1"))


class Subscriber:
    """A SUB socket and a thread that reads it."""

    def __init__(self, address: str, topic: str = "", *, bind: bool = False, high_water_mark: int = 0) -> None:
        self.heard = telling.Heard()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, high_water_mark)
        self._socket.subscribe(topic)
        if bind:
            self._socket.bind(address)
        else:
            self._socket.connect(address)
        self.reading = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._closing.is_set():
            if self.reading.wait(0.05) and self._socket.poll(50):
                self.heard.add(self._socket.recv_string())

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._context.destroy(linger=0)


@contextmanager
def subscribed(address: str, topic: str = "", **options: Any) -> Iterator[Subscriber]:
    one = Subscriber(address, topic, **options)
    one.reading.set()
    try:
        yield one
    finally:
        one.close()


class _Settled(ZmqSink):
    """Opened when its subscriber is there, as no message may be lost before the test begins."""

    def open(self) -> None:
        super().open()
        until(lambda: self.subscribed, "a subscription")


class Listener:
    """The target of the contract; `key` makes the key out of what follows the topic."""

    def __init__(self, address: str, key: Any, **settings: Any) -> None:
        self._address = address
        self._key = key
        self._settings = Settings(**{"bind": address, "wait_for_subscriber": True, **settings})
        self._bind = self._settings.connect is not None
        self._sink: ZmqSink | None = None
        self._heard: list[Subscriber] = []
        self.start()

    def sink(self) -> ZmqSink:
        self._sink = _Settled(self._settings)
        return self._sink

    def told(self, count: int) -> list[tuple[Action, Any]]:
        return [self._parsed(message) for message in self._heard[-1].heard.once(count)]

    def _parsed(self, message: str) -> tuple[Action, Any]:
        topic, _, rest = message.partition(" ")
        table, _, action = topic.rpartition("_")
        assert table == "user"
        return Action(action), self._key(rest)

    def stop(self) -> None:
        self._heard[-1].close()
        sink = self._sink
        assert sink is not None
        until(lambda: not sink.subscribed, "the end of the subscription")

    def start(self) -> None:
        self._heard.append(Subscriber(self._address, bind=self._bind))
        self._heard[-1].reading.set()
        if self._sink is not None:
            sink = self._sink
            until(lambda: sink.subscribed, "a subscription")

    def close(self) -> None:
        for one in self._heard:
            one.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"tcp://127.0.0.1:{running.ports(tmp_path, 1)[0]}"


def integer(text: str) -> Any:
    return () if text == "()" else (int(text),)


class TestJson(TellingContract):
    @pytest.fixture(params=["bind", "connect"])
    def target(self, address: str, request: pytest.FixtureRequest) -> Iterator[Listener]:
        other = {"bind": None, "connect": address} if request.param == "connect" else {}
        listener = Listener(address, lambda text: telling.change_of(json.loads(text))[1], format="json", **other)
        yield listener
        listener.close()


class TestText(TellingContract):
    kinds = (
        "integers",
        "texts",
        "digits above a long",
    )  # bytes, fractions and composite keys come as Python shows them

    @pytest.fixture
    def target(self, address: str, request: pytest.FixtureRequest) -> Iterator[Listener]:
        """It knows the type of the key's column, which the text does not tell."""
        kind = request.node.callspec.params.get("kind") if hasattr(request.node, "callspec") else None
        listener = Listener(address, (lambda text: (text,)) if kind in self.kinds[1:] else integer)
        yield listener
        listener.close()


@contextmanager
def opened(**settings: Any) -> Iterator[ZmqSink]:
    sink = ZmqSink(Settings(**settings))
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def test_the_text_is_that_of_the_predecessor(address: str) -> None:
    """S93.  Subscribers that parse its messages go on."""
    changes = Changes()
    with subscribed(address) as subscriber, opened(bind=address) as sink:
        until(lambda: sink.subscribed, "a subscription")
        sink.apply([changes.write(1), changes.update(1, "x"), changes.delete("a b"), changes.truncate()])
        assert subscriber.heard.once(4) == [
            "user_write 1",
            "user_update (1, 'x')",
            "user_delete a b",
            "user_truncate ()",
        ]


def test_topics_name_the_schema_where_asked_to(address: str) -> None:
    """S8.  Two schemas may have tables of one name."""
    with subscribed(address, "shop.user_write ") as subscriber, opened(bind=address, qualified=True) as sink:
        until(lambda: sink.subscribed, "a subscription")
        sink.apply([Changes("other").write(77), Changes("shop").write(1)])
        assert subscriber.heard.once(1) == ["shop.user_write 1"]


def test_a_topic_is_one_word_whatever_the_table_is_called(address: str) -> None:
    """S62.  A space in a name would make a part of it pass for the key; a longer name for the one it begins with."""
    changes = Changes()
    with subscribed(address, "seat%20plan_write ") as subscriber, opened(bind=address) as sink:
        until(lambda: sink.subscribed, "a subscription")
        sink.apply(
            [changes.write(n, table=name) for n, name in enumerate(["seat", "seat plan_write_log", "seat plan"])]
        )
        assert subscriber.heard.once(1) == ["seat%20plan_write 2"]


class _Watched:
    """A socket that notices when two threads use it at a time; it makes time for a second one to come."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._busy = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            assert self._busy.acquire(blocking=False), "two threads at a time"
            try:
                threading.Event().wait(0.001)
                return getattr(self._socket, name)(*arguments)
            finally:
                self._busy.release()

        return call


def test_one_socket_serves_all_threads_one_after_the_other(address: str) -> None:
    """A ZeroMQ socket used by two threads at a time ends the process, or mixes messages."""
    batches = [[Changes(table=f"t{n}").write(i) for i in range(20)] for n in range(4)]
    with subscribed(address) as subscriber, opened(bind=address) as sink:
        until(lambda: sink.subscribed, "a subscription")
        sink._socket = _Watched(sink._socket)  # type: ignore[assignment]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(sink.apply, batches))
        heard = subscriber.heard.once(80)
        for n in range(4):
            assert [line for line in heard if line.startswith(f"t{n}_")] == [f"t{n}_write {i}" for i in range(20)]


def _troubles(sink: ZmqSink, batch: list[TableAction]) -> list[TryAgain]:
    try:
        sink.apply(batch)
    except TryAgain as error:
        return [error]
    return []


def test_a_subscriber_that_does_not_keep_up_is_waited_for(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S60, D30.  The predecessor lost two thirds of 500,000 messages this way, and nobody knew."""
    monkeypatch.setattr("meepo2_connectors.zmq.sink.SEND_MS", 20)
    subscriber = Subscriber(address, high_water_mark=10)
    try:
        with opened(bind=address, format="json", high_water_mark=10) as sink:
            until(lambda: sink.subscribed, "a subscription")
            changes = Changes()
            told = 0
            while not (troubles := _troubles(sink, [changes.write(told)])):
                told += 1
            assert (troubles[0].why, troubles[0].records) == ("a subscriber does not keep up", ())
            subscriber.reading.set()
            keys = [telling.change_of(json.loads(one.partition(" ")[2]))[1] for one in subscriber.heard.once(told)]
            assert keys == [(n,) for n in range(told)]
    finally:
        subscriber.close()


def test_with_drop_nobody_is_waited_for(address: str) -> None:
    """As PUB sockets are by themselves; and the README says that it loses."""
    subscriber = Subscriber(address, high_water_mark=1)
    try:
        with opened(bind=address, format="json", high_water_mark=1, when_full="drop", linger_seconds=0) as sink:
            until(lambda: sink.subscribed, "a subscription")
            changes = Changes()
            for _ in range(60):
                sink.apply([changes.write(n) for n in range(500)])
            subscriber.reading.set()
            until(lambda: subscriber.heard.so_far(), "some message")
    finally:
        subscriber.close()
    assert len(subscriber.heard.so_far()) < 30_000


def test_with_wait_for_subscriber_nothing_is_published_to_nobody(address: str) -> None:
    """D30.  What is published before the first subscription is gone."""
    with opened(bind=address, wait_for_subscriber=True) as sink:
        batch = [Changes().write(1)]
        with pytest.raises(TryAgain, match="nobody has subscribed") as caught:
            sink.apply(batch)
        assert caught.value.records == ()
        with subscribed(address) as subscriber:
            until(lambda: sink.subscribed, "a subscription")
            sink.apply(batch)
            assert subscriber.heard.once(1) == ["user_write 1"]


def test_an_address_that_cannot_be_used_ends_the_start(address: str) -> None:
    """A publisher that nobody can reach looks healthy."""
    with opened(bind=address), pytest.raises(ConfigError, match=r"zmq\.bind is .*in use"):
        ZmqSink(Settings(bind=address)).open()
    with pytest.raises(ConfigError, match=r"zmq\.connect is 'nowhere'"):
        ZmqSink(Settings(connect="nowhere")).open()
    for given in ({}, {"MEEPO2_ZMQ_BIND": "tcp://*:1", "MEEPO2_ZMQ_CONNECT": "tcp://a:1"}):
        with pytest.raises(ConfigError, match="exactly one must be set"):
            load_with("zmq", Settings, environment=given)


def test_the_example_is_accepted() -> None:
    """What people copy first must work."""
    _, own = load_with("zmq", Settings, config=telling.CONNECTORS / "zmq" / "example.toml", environment={})
    assert own.bind
    assert not installed.coalesce


# -- the proxy


@contextmanager
def proxy(*arguments: str) -> Iterator[Running]:
    one = Running(arguments, {}, (sys.executable, "-m", "meepo2_connectors.zmq.proxy"))
    try:
        yield one
    finally:
        one.kill()


def test_the_proxy_joins_publishers_and_subscribers(tmp_path: Path) -> None:
    """What mzdevice was: several publishers, several subscribers, neither knowing the other."""
    front, back = (f"tcp://127.0.0.1:{port}" for port in running.ports(tmp_path, 2))
    with proxy(front, back) as forwarding:
        forwarding.wait_for("forwarding from")
        with (
            subscribed(back) as one,
            subscribed(back, "b_write ") as other,
            opened(connect=front) as first,
            opened(connect=front) as second,
        ):
            for sink in (first, second):
                until(
                    lambda sink=sink: sink.subscribed and {b"", b"b_write "} <= sink._subscriptions,
                    "both subscriptions",
                )
            first.apply([Changes(table="a").write(1)])
            second.apply([Changes(table="b").write(2)])
            assert sorted(one.heard.once(2)) == ["a_write 1", "b_write 2"]
            assert other.heard.once(1) == ["b_write 2"]
        assert forwarding.stop().code == 0


def test_the_proxy_names_an_address_that_it_cannot_bind(address: str) -> None:
    """A device that forwards nothing must not look as if it ran."""
    with proxy(address, address) as forwarding:
        ended = forwarding.end()
    assert ended.code == 2
    assert address in ended.err


# -- the installed command


def test_the_tutorial_reaches_the_subscriber_of_the_readme(scene: Scene, address: str, tmp_path: Path) -> None:
    """S89, S93.  What `mzmq` was."""
    telling.capture_tutorial(scene)
    (program,) = telling.shown("zmq", "python")
    port = {"tcp://127.0.0.1:5556": address}
    assert "tcp://127.0.0.1:5556" in program
    listening = Running(
        ("-uc", program.replace("tcp://127.0.0.1:5556", address).replace("user_", "test_")), {}, (sys.executable,)
    )
    try:
        with telling.example(scene, "zmq", tmp_path, replaced=port) as publishing:
            until(lambda: listening.printed.count("\n") >= 4, "a line for each write")
            ended = publishing.stop()
        assert ended.code == 0, ended.err
        assert sorted(listening.printed.splitlines()) == sorted(
            f"test_{a} {pk[0]}" for a, pk in tutorial.CHANGES if a == "write"
        )
    finally:
        listening.kill()


def test_kills_lose_messages_at_most_and_make_none_up(kafka: str, prefix: str, address: str) -> None:
    """
    PUB and SUB lose what was on the way: the README says so.  What arrives was written, and after each start more does.
    """
    dice = random.Random(SEED)  # noqa: S311 - moments, not secrets
    settings = {
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": kafka, "MEEPO2_KAFKA_GROUP_INSTANCE_ID": "one", "MEEPO2_PREFIX": prefix,
        "MEEPO2_ZMQ_BIND": address, "MEEPO2_ZMQ_FORMAT": "json", "MEEPO2_ZMQ_WAIT_FOR_SUBSCRIBER": "true",
    }  # fmt: skip
    with subscribed(address) as subscriber, Load(kafka, prefix, SEED) as load:
        for _ in range(3):
            publishing = Running(["run", "zmq"], settings)
            wanted = len(subscriber.heard.so_far()) + dice.randint(1, 300)
            try:
                until(lambda wanted=wanted: len(subscriber.heard.so_far()) >= wanted, "messages of a new publisher")
            finally:
                publishing.kill()
        load.stop()
        written = {(one.action, one.pk, one.seq) for one in load.written}
    told = [json.loads(message.partition(" ")[2]) for message in subscriber.heard.so_far()]
    assert {(*telling.change_of(one), one["seq"]) for one in told} <= written
