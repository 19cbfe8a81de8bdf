"""
The connector `statsd`: counters in UDP datagrams, read by a real socket.

Not by the contract of sinks that tell: a counter has neither keys nor an order.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from meepo2_cdc.config import load_with
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.replay.sink import TryAgain
from meepo2_cdc.testing import Changes
from meepo2_connectors.statsd import connector as installed
from meepo2_connectors.statsd.settings import Settings
from meepo2_connectors.statsd.sink import StatsdSink
from tests.connectors import telling
from tests.scenes import Scene


class Server:
    """Adds up what arrives, as statsd does."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(20)
        self.port = int(self._socket.getsockname()[1])

    def datagrams(self, count: int) -> list[str]:
        return [self._socket.recv(65536).decode("ascii") for _ in range(count)]

    def sums(self, total: int) -> Counter[str]:
        """What each counter came to, once all together came to the total."""
        found: Counter[str] = Counter()
        while found.total() < total:
            for line in self._socket.recv(65536).decode("ascii").splitlines():
                name, _, value = line.partition(":")
                number, kind = value.split("|")
                assert kind == "c"
                found[name] += int(number)
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@contextmanager
def opened(server: Server, **settings: Any) -> Iterator[StatsdSink]:
    sink = StatsdSink(Settings(host="127.0.0.1", port=server.port, **settings))
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def test_a_change_is_one_more_of_its_table_and_action(server: Server) -> None:
    """S88.  Dashboards that show the predecessor's counters go on."""
    with opened(server) as sink:
        sink.apply([Changes(table="test").write(1)])
        sink.apply([Changes(table="test").truncate()])
        assert server.datagrams(2) == ["meepo2.stats.test.write:1|c", "meepo2.stats.test.truncate:1|c"]


def test_the_changes_of_a_batch_come_in_one_datagram(server: Server) -> None:
    """A datagram for each change is more than the network takes in a burst; what is dropped is not counted."""
    changes = Changes()
    batch = [changes.write(n) for n in range(300)] + [changes.update(n) for n in range(200)] + [changes.delete(1)]
    with opened(server) as sink:
        sink.apply(batch)
        (datagram,) = server.datagrams(1)
    assert sorted(datagram.splitlines()) == [
        "meepo2.stats.user.delete:1|c", "meepo2.stats.user.update:200|c", "meepo2.stats.user.write:300|c",
    ]  # fmt: skip


def test_prefix_and_schema_are_as_set(server: Server) -> None:
    """S88, S8.  Two schemas may have tables of one name."""
    with opened(server, prefix="app.cdc", qualified=True) as sink:
        sink.apply([Changes("shop").write(1), Changes("other").write(1)])
        (datagram,) = server.datagrams(1)
    assert sorted(datagram.splitlines()) == ["app.cdc.other.user.write:1|c", "app.cdc.shop.user.write:1|c"]


def test_a_name_cannot_make_a_counter_of_its_own(server: Server) -> None:
    """A colon, a bar or a line feed in a table's name would count something else, a dot would move it elsewhere."""
    with opened(server) as sink:
        sink.apply([Changes(table="a:1|c\nb.\N{SNOWMAN}").write(1)])
        assert server.datagrams(1) == ["meepo2.stats.a_1_c_b__.write:1|c"]


def test_a_rate_reports_a_part_and_says_so(server: Server) -> None:
    """S88.  The server multiplies by it; a batch reported as a whole or not at all would make its curve jump."""
    with opened(server, rate=0.5, datagram_bytes=65_000) as sink:
        sink.apply([Changes().write(n) for n in range(1000)])
        (datagram,) = server.datagrams(1)
    assert set(datagram.splitlines()) == {"meepo2.stats.user.write:1|c|@0.5"}
    assert 350 < len(datagram.splitlines()) < 650  # by chance not once in 10**20


def test_datagrams_are_no_larger_than_set(server: Server) -> None:
    """A datagram that is cut into pieces on its way is lost with any of them."""
    with opened(server, datagram_bytes=128) as sink:
        sink.apply([Changes(table=f"table_{n}").write(n) for n in range(50)])
        sizes = []
        while sum(sizes) < 50 * len("meepo2.stats.table_1.write:1|c"):
            sizes.append(len(server.datagrams(1)[0]))
    assert max(sizes) <= 128


def test_a_host_without_an_address_is_waited_for() -> None:
    """In a cluster a name may appear later than the connector."""
    with pytest.raises(TryAgain, match=r"statsd\.host 'no-such-host\.invalid'"):
        StatsdSink(Settings(host="no-such-host.invalid")).open()


@pytest.mark.parametrize("wrong", [{"RATE": "0"}, {"RATE": "2"}, {"PORT": "0"}, {"PREFIX": "a b"}])
def test_settings_that_count_wrongly_are_refused(wrong: dict[str, str]) -> None:
    """A rate of 0 reports nothing, and looks healthy."""
    (name,) = wrong
    with pytest.raises(ConfigError, match=f"MEEPO2_STATSD_{name}"):
        load_with("statsd", Settings, environment={f"MEEPO2_STATSD_{name}": wrong[name]})


def test_the_example_is_accepted() -> None:
    """What people copy first must work."""
    _, own = load_with("statsd", Settings, config=telling.CONNECTORS / "statsd" / "example.toml", environment={})
    assert own.prefix == "meepo2.stats"
    assert not installed.coalesce


def test_the_tutorial_is_counted(scene: Scene, server: Server, tmp_path: Path) -> None:
    """S88, by the installed command as the README shows it."""
    telling.capture_tutorial(scene)
    with telling.example(scene, "statsd", tmp_path, replaced={"STATSD_PORT=8125": f"STATSD_PORT={server.port}"}) as one:
        sums = server.sums(13)
        ended = one.stop()
    assert ended.code == 0, ended.err
    assert sums == {"meepo2.stats.test.write": 4, "meepo2.stats.test.update": 5, "meepo2.stats.test.delete": 4}
