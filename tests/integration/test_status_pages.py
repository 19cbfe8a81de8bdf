"""
Probes, metrics and the status page over real HTTP, of a service that says what a test wants.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.observe import live
from meepo2_cdc.observe.content import Content, Curve, Facts, Table, Tile
from meepo2_cdc.observe.server import PageServer, Place
from meepo2_cdc.observe.vitals import Health
from tests.command import until

HOSTILE = "<script>alert(1)</script>\"'&"
LIVE_SECONDS = 100.0


@dataclass
class Service:
    """A `Subject`; a test changes what it says."""

    role = "capture"
    title: str = f"shop: {HOSTILE}"
    told: Health = field(default_factory=lambda: Health("running", 0.1))
    curves = (Curve("lag", "Lag", "seconds"), Curve("records", "Records", "per second"))
    breaks: bool = False

    def health(self) -> Health:
        return self.told

    def sample(self) -> Mapping[str, float]:
        return {"lag": float("nan"), "records": 1.0}

    def content(self) -> Content:
        if self.breaks:
            raise RuntimeError("a page that cannot be made")
        rows = [[f"row {HOSTILE}", "1"]]
        table = Table("t", f"title {HOSTILE}", ("name", "n"), rows, "none", (1,), f"note {HOSTILE}")
        facts = Facts("f", "F", [(HOSTILE, HOSTILE)])
        return Content(HOSTILE, [Tile("Lag", f"{HOSTILE}", f"note {HOSTILE}")], [facts, table])

    def start(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def port(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(live, "EVERY_SECONDS", 0.02)
    with closing(PageServer(service, Place("127.0.0.1", 0, "capture"), LIVE_SECONDS)) as server:
        server.start()
        yield server.port


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, object]:
        return json.loads(self.text)


def get(port: int, path: str, method: str = "GET", **headers: str) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return Got(answer.status, dict(answer.getheaders()), answer.read().decode())


# -- probes


def test_a_main_loop_that_stands_still_is_not_alive(port: int, service: Service):
    """The thread that answers goes on for ever; a loop that hangs would never be restarted."""
    assert (get(port, "/livez").status, get(port, "/livez").json["live"]) == (200, True)
    service.told = Health("running", LIVE_SECONDS + 1)
    got = get(port, "/livez")
    assert got.status == 503
    assert "101 s" in got.json["why"][0]  # type: ignore[index]


def test_a_service_that_starts_is_alive_and_not_ready(port: int, service: Service):
    """To be killed while it looks for its place in a large log, again and again, is never to start."""
    service.told = Health("starting", LIVE_SECONDS * 100, ("it starts",))
    assert get(port, "/livez").status == 200
    got = get(port, "/readyz")
    assert got.status == 503
    assert got.json == {"ready": False, "state": "starting", "why": ["it starts"]}


def test_a_standby_is_ready_and_says_what_it_is(port: int, service: Service):
    """A Deployment of two waits until both are ready, and one of them must stand by."""
    service.told = Health("standby", 0.1)
    got = get(port, "/readyz")
    assert (got.status, got.json["state"]) == (200, "standby")


def test_what_is_lacking_is_told(port: int, service: Service):
    """`503` alone sends somebody into the logs at night."""
    service.told = Health("running", 0.1, ("the source is away",))
    got = get(port, "/readyz")
    assert (got.status, got.json["why"]) == (503, ["the source is away"])


# -- what is served


def test_metrics_are_those_of_the_role(port: int):
    """A gauge that nobody sets says 0: an alarm would tell of a capture whose target is away, which has none."""
    text = get(port, "/metrics").text
    assert "meepo2_cdc_source_lag_seconds" in text
    assert "process_cpu_seconds_total" in text
    assert "meepo2_cdc_target_ready" not in text


def test_only_reading_is_allowed(port: int):
    """There is no login."""
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        for path in ("/", "/metrics", "/livez", "/nothing"):
            assert get(port, path, method).status == 405, (method, path)
    assert get(port, "/nothing").status == 404


def test_head_answers_without_a_body(port: int):
    """Load balancers ask so; a body would be taken for the beginning of the next answer, and events never end."""
    for path in ("/", "/livez", "/metrics", "/events", "/status.json"):
        got = get(port, path, "HEAD")
        assert (got.status, got.text) == (200, ""), path


def test_names_and_messages_cannot_become_markup(port: int):
    """Whoever may make a table, or have an error logged, would else run scripts before the operator's eyes."""
    text = get(port, "/").text
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;") >= 10


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(port: int):
    """Should markup get through after all, it may do nothing."""
    got = get(port, "/")
    policy = got.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (inner,) = re.findall(f"<{tag}>(.*?)</{tag}>", got.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\s(style|on\w+)=", got.text), "inline styles and handlers are blocked by the policy"
    assert "http://www.w3.org" in got.text.replace("%3A", ":")
    assert not re.search(r"(src|href)=\"(https?:)?//", got.text), "it asks no other server for anything"


def test_the_facts_are_json_that_every_reader_takes(port: int):
    """NaN is no JSON; a script that cannot parse it sees nothing."""
    got = get(port, "/status.json")
    found = json.loads(got.text, parse_constant=lambda constant: pytest.fail(constant))
    assert found["sample"] == {"lag": None, "records": 1.0}
    assert found["health"]["ready"] is True


def test_a_page_that_fails_leaves_the_probes_alone(port: int, service: Service):
    """A fault in what is only shown must not have the service restarted."""
    service.breaks = True
    assert get(port, "/").status == 500
    assert get(port, "/livez").status == 200
    assert get(port, "/metrics").status == 200


# -- events


@pytest.fixture
def listen(port: int) -> Iterator[Callable[[], http.client.HTTPResponse]]:
    opened: list[http.client.HTTPConnection] = []

    def open_one() -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        opened.append(connection)
        connection.request("GET", "/events")
        return connection.getresponse()

    yield open_one
    for one in opened:
        one.close()


def event(stream: http.client.HTTPResponse) -> dict[str, dict[str, str]]:
    """The next that has data."""
    while not (line := stream.readline()).startswith(b"data: "):
        assert line, "the stream ended"
    return json.loads(line.removeprefix(b"data: "))


def test_events_bring_what_changed_and_nothing_else(service: Service, listen: Callable[[], http.client.HTTPResponse]):
    """Pieces that are replaced although nothing changed take away what somebody is reading or selecting."""
    stream = listen()
    first = event(stream)
    assert set(first["pieces"]) == {"state", "tiles", "charts", "section-f", "section-t"}
    service.told = replace(service.told, lacks=("the source is away",))

    def changed() -> dict[str, str]:
        return event(stream)["pieces"]

    until(lambda: "the source is away" in changed().get("state", ""), "the event that tells of it")
    assert "tiles" not in changed()


def test_so_many_listen_and_no_more(port: int, listen: Callable[[], http.client.HTTPResponse]):
    """Each listener is a thread; forgotten browser tabs must not take the service's memory."""
    streams = [listen() for _ in range(live._WATCHERS)]
    for stream in streams:
        event(stream)
    assert listen().status == 503
    assert get(port, "/readyz").status == 200


def test_listeners_that_went_away_make_room(listen: Callable[[], http.client.HTTPResponse]):
    """Or the page is dead after the sixteenth reload."""
    for _ in range(live._WATCHERS * 2):
        stream = until(lambda: one if (one := listen()).status == 200 else None, "room for one more")
        event(stream)
        stream.close()


# -- the listener


def test_nobody_else_may_connect_unless_it_is_said(port: int):
    """There is no login, so the first default is this machine only."""
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", port))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1"])  # noqa: S104 - what the setting is for
def test_it_listens_where_it_is_told_to(service: Service, host: str):
    """Kubernetes asks at the pod's address, of either family."""
    with closing(PageServer(service, Place(host, 0, "capture"), LIVE_SECONDS)) as server:
        server.start()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as client:
            client.connect(("::1" if ":" in host else "127.0.0.1", server.port))
            client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.0 200")


def test_a_port_that_is_taken_is_named_with_its_setting(service: Service):
    """An operator must find what to change; and a service that nobody can watch must not run unwatched."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"session\.metrics_port is {port}.*cannot be listened on"):
            PageServer(service, Place("127.0.0.1", port, "session"), LIVE_SECONDS)
    with pytest.raises(ConfigError, match=r"no\.such\.host"):
        PageServer(service, Place("no.such.host.invalid", 0, "run"), LIVE_SECONDS)


def test_silent_clients_do_not_keep_probes_from_being_answered(port: int):
    """Anybody who opens connections and says nothing would have the service restarted."""
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(get(port, "/livez").status))
    asking.start()
    asking.join(10)
    for one in silent:
        one.close()
    assert answers == [200]
