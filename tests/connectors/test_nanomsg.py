"""
The connector `nanomsg`: a PUB socket of the Scalability Protocols, real subscribers.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pynng
import pytest

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import Action
from meepo2_cdc.testing import Changes, TellingContract
from meepo2_connectors.nanomsg import connector as installed
from meepo2_connectors.nanomsg.settings import Settings
from meepo2_connectors.nanomsg.sink import NanomsgSink
from tests.acceptance import tutorial
from tests.command import Running, until
from tests.connectors import telling
from tests.scenes import Scene
from tests.services import running


class Subscriber:
    """A SUB socket and a thread that reads it."""

    def __init__(self, address: str, topic: str = "", *, bind: bool = False) -> None:
        self.heard = telling.Heard()
        self._socket = pynng.Sub0(recv_buffer_size=8192)
        self._socket.subscribe(topic)
        if bind:
            self._socket.listen(address)
        else:
            self._socket.dial(address, block=False)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while True:
                self.heard.add(self._socket.recv().decode())
        except pynng.Closed:
            return

    def close(self) -> None:
        self._socket.close()
        self._thread.join()


@contextmanager
def subscribed(address: str, topic: str = "", **options: Any) -> Iterator[Subscriber]:
    one = Subscriber(address, topic, **options)
    try:
        yield one
    finally:
        one.close()


class _Settled(NanomsgSink):
    """Opened when its subscriber is there, as no message may be lost before the test begins."""

    def open(self) -> None:
        super().open()
        until(lambda: self._socket.pipes, "a subscriber")


@contextmanager
def opened(**settings: Any) -> Iterator[NanomsgSink]:
    sink = _Settled(Settings(**{"linger_seconds": 0, **settings}))
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


class Listener:
    """The target of the contract; `key` makes the key out of what follows the topic."""

    def __init__(self, subscriber: Subscriber, key: Any, **settings: Any) -> None:
        self._subscriber = subscriber
        self._key = key
        self._settings = Settings(linger_seconds=0, **settings)

    def sink(self) -> NanomsgSink:
        return _Settled(self._settings)

    def told(self, count: int) -> list[tuple[Action, Any]]:
        return [self._parsed(message) for message in self._subscriber.heard.once(count)]

    def _parsed(self, message: str) -> tuple[Action, Any]:
        topic, _, rest = message.partition(" ")
        table, _, action = topic.rpartition("_")
        assert table == "user"
        return Action(action), self._key(rest)

    def stop(self) -> None:
        raise AssertionError("nobody notices")

    start = stop


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"tcp://127.0.0.1:{running.ports(tmp_path, 1)[0]}"


class TestJson(TellingContract):
    notices_absence = False  # PUB tells nobody

    @pytest.fixture(params=["bind", "connect"])
    def target(self, address: str, request: pytest.FixtureRequest) -> Iterator[Listener]:
        with subscribed(address, bind=request.param == "connect") as one:
            key = lambda text: telling.change_of(json.loads(text))[1]  # noqa: E731
            yield Listener(one, key, format="json", **{request.param: address})


class TestText(TellingContract):
    notices_absence = False  # PUB tells nobody
    kinds = (
        "integers",
        "texts",
        "digits above a long",
    )  # bytes, fractions and composite keys come as Python shows them

    @pytest.fixture
    def target(self, address: str, request: pytest.FixtureRequest) -> Iterator[Listener]:
        """It knows the type of the key's column, which the text does not tell."""
        kind = request.node.callspec.params.get("kind") if hasattr(request.node, "callspec") else None
        integer = lambda text: () if text == "()" else (int(text),)  # noqa: E731
        with subscribed(address) as one:
            yield Listener(one, (lambda text: (text,)) if kind in self.kinds[1:] else integer, bind=address)


def test_the_text_is_that_of_the_predecessor(address: str) -> None:
    """S93.  Subscribers that parse its messages go on."""
    changes = Changes()
    with subscribed(address) as subscriber, opened(bind=address) as sink:
        sink.apply([changes.write(1), changes.update(1, "x"), changes.delete("a b"), changes.truncate()])
        assert subscriber.heard.once(4) == [
            "user_write 1",
            "user_update (1, 'x')",
            "user_delete a b",
            "user_truncate ()",
        ]


def test_topics_name_the_schema_where_asked_to(address: str) -> None:
    """S8, S62.  Two schemas may have tables of one name, and names may begin alike."""
    with subscribed(address, "shop.user_write ") as subscriber, opened(bind=address, qualified=True) as sink:
        sink.apply([Changes("other").write(77), Changes().write(2, table="user_write_log"), Changes("shop").write(1)])
        assert subscriber.heard.once(1) == ["shop.user_write 1"]


def test_a_whole_batch_fits_into_the_buffer(address: str) -> None:
    """With nng's own buffer of 16 messages most of each batch would be lost."""
    with subscribed(address) as subscriber, opened(bind=address) as sink:
        sink.apply([Changes().write(n) for n in range(5000)])
        assert subscriber.heard.once(5000) == [f"user_write {n}" for n in range(5000)]


def test_a_subscriber_that_is_away_stops_nobody(address: str) -> None:
    """And misses what was sent, as the README says; what is sent when it is back arrives."""
    sink = NanomsgSink(Settings(bind=address, linger_seconds=0))
    sink.open()
    try:
        sink.apply([Changes().write(1)])
        with subscribed(address) as subscriber:
            until(lambda: sink._socket.pipes, "a subscriber")
            sink.apply([Changes().write(2)])
            assert subscriber.heard.once(1) == ["user_write 2"]
    finally:
        sink.close()


def test_an_address_that_cannot_be_used_ends_the_start(address: str) -> None:
    """A publisher that nobody can reach looks healthy."""
    with subscribed(address, bind=True), pytest.raises(ConfigError, match=r"nanomsg\.bind is .*in use"):
        NanomsgSink(Settings(bind=address)).open()
    with pytest.raises(ConfigError, match=r"nanomsg\.connect is 'nowhere'"):
        NanomsgSink(Settings(connect="nowhere")).open()
    with pytest.raises(ConfigError, match="exactly one must be set"):
        load_with("nanomsg", Settings, environment={})


def test_the_example_is_accepted() -> None:
    """What people copy first must work."""
    _, own = load_with("nanomsg", Settings, config=telling.CONNECTORS / "nanomsg" / "example.toml", environment={})
    assert own.bind
    assert not installed.coalesce


def test_what_is_captured_reaches_the_subscriber_of_the_readme(scene: Scene, address: str, tmp_path: Path) -> None:
    """S93.  By the installed command; the rows come after both are connected, since nothing waits for a subscriber."""
    scene.run(tutorial.TABLE)
    (program,) = telling.shown("nanomsg", "python")
    shown = "tcp://127.0.0.1:5557"
    assert shown in program
    listening = Running(("-uc", program.replace(shown, address).replace("user_", "test_")), {}, (sys.executable,))
    try:
        with telling.example(scene, "nanomsg", tmp_path, replaced={shown: address}) as publishing:
            scene.capture()
            written = 0

            def heard() -> bool:
                """Until both are connected, what is written is lost."""
                nonlocal written
                scene.run("INSERT INTO test (data) VALUES ('a')")
                written += 1
                return "test_write" in listening.printed

            until(heard, "a line of the subscriber")
            ended = publishing.stop()
        assert ended.code == 0, ended.err
        assert set(listening.printed.splitlines()) <= {f"test_write {n}" for n in range(1, written + 1)}
    finally:
        listening.kill()
