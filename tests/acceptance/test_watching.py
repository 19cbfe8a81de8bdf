"""
What a capture, a standby and a consumer that run tell over HTTP: probes, metrics, the facts of the status page.
"""

from __future__ import annotations

import gzip
import http.server
import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.command import Running, until
from tests.journal import Journal
from tests.scenes import MakeScene, Scene, Server, both

TABLE = "CREATE TABLE test (id INT PRIMARY KEY, data VARCHAR(256))"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


class Watched:
    """A running service that is asked at its port."""

    def __init__(self, running: Running, port: int) -> None:
        self.running = running
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:  # it does not listen yet
            return 0, ""

    def ready(self) -> tuple[int, dict[str, Any]]:
        status, text = self.get("/readyz")
        return status, json.loads(text or "{}")

    def value(self, metric: str) -> float | None:
        found = re.search(rf"^{re.escape(metric)} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else None

    def reaches(self, metric: str, value: float) -> None:
        until(lambda: self.value(metric) == value, f"{metric} {value}")


@pytest.fixture
def watch(scene: Scene) -> Any:
    """Starts a capture that is watched."""

    def start(*flags: str, **settings: str) -> Watched:
        port = free_port()
        return Watched(scene.launch(*flags, MEEPO2_CAPTURE_METRICS_PORT=str(port), **settings), port)

    return start


@both
def test_a_capture_tells_what_it_does(scene: Scene, watch: Any) -> None:
    """Alarms and dashboards are made of these; one that stays at nothing is trusted until the day it is needed."""
    scene.run(TABLE, "CREATE TABLE other (id INT PRIMARY KEY)")
    capture = watch(MEEPO2_CAPTURE_METRICS_TABLES="1")
    until(lambda: capture.ready()[0] == 200, "it is ready")
    assert capture.get("/livez")[0] == 200
    scene.run("INSERT INTO test VALUES (1, 'a'), (2, 'b')", "DELETE FROM test WHERE id = 1")
    of_test = f'table="{scene.database}.test"}}'
    capture.reaches(f'meepo2_cdc_records_total{{action="write",{of_test}', 2)
    capture.reaches(f'meepo2_cdc_records_total{{action="delete",{of_test}', 1)
    scene.run("INSERT INTO other VALUES (1)")
    capture.reaches('meepo2_cdc_records_total{action="write",table="other"}', 1)
    assert (capture.value("meepo2_cdc_source_transactions_total") or 0) >= 3
    assert (capture.value("meepo2_cdc_commit_seconds_count") or 0) >= 3
    assert capture.value("meepo2_cdc_source_connected") == 1
    assert capture.value("meepo2_cdc_active") == 1
    capture.reaches("meepo2_cdc_source_lag_seconds", 0)
    capture.reaches("meepo2_cdc_queue_records", 0)
    assert 0 <= (capture.value("meepo2_cdc_checkpoint_age_seconds") or 0) < 3600
    until(lambda: capture.value("meepo2_cdc_source_behind_bytes") is not None, "the source was asked for its end")


def test_what_is_left_until_the_position_is_purged_is_told(make_scene: MakeScene, own_mysql: Server) -> None:
    """A purged position is a gap, and the only loss that the capture cannot prevent."""
    scene = make_scene(own_mysql)
    port = free_port()
    own_mysql.run("SET GLOBAL binlog_expire_logs_seconds = 86400")
    try:
        capture = Watched(scene.capture(MEEPO2_CAPTURE_METRICS_PORT=str(port)), port)
        capture.reaches("meepo2_cdc_source_retention_left_seconds", 86400)
    finally:
        own_mysql.run("SET GLOBAL binlog_expire_logs_seconds = 0")


def test_a_standby_is_ready_as_such_until_it_takes_over(scene: Scene, watch: Any) -> None:
    """A Deployment of two must become ready, and two that say they capture would be an alarm of its own."""
    first = watch("--standby")
    until(lambda: first.ready() == (200, {"ready": True, "state": "running", "why": []}), "the first captures")
    second = watch("--standby")
    until(lambda: second.ready() == (200, {"ready": True, "state": "standby", "why": []}), "the second stands by")
    assert second.value("meepo2_cdc_active") == 0
    assert second.get("/livez")[0] == 200
    assert first.running.stop().code == 0
    until(lambda: second.ready()[1].get("state") == "running", "the second captures")
    until(lambda: second.value("meepo2_cdc_active") == 1, "and says so")


@pytest.fixture
def journal(tmp_path: Path, scene: Scene) -> Iterator[Journal]:
    with closing(Journal(tmp_path, scene.kafka, scene.prefix)) as made:
        yield made


def test_a_consumer_is_ready_when_it_has_partitions_and_its_target_takes_records(
    scene: Scene, journal: Journal
) -> None:
    """A rollout goes on when the new one is ready; with a target that is away it must not."""
    port = free_port()
    journal.away.touch()
    consumer = Watched(journal.start(MEEPO2_RUN_METRICS_PORT=str(port)), port)
    until(lambda: "the target is away" in str(consumer.ready()), "it tells of its target")
    assert consumer.ready()[0] == 503
    assert consumer.get("/livez")[0] == 200
    journal.away.unlink()
    until(lambda: consumer.ready()[1].get("state") == "waiting", "it waits for topics, ready for them")
    assert consumer.ready()[0] == 200
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    scene.caught_up()
    until(lambda: consumer.ready() == (200, {"ready": True, "state": "running", "why": []}), "it has partitions")
    consumer.reaches('meepo2_cdc_records_applied_total{connector="journal"}', 1)
    journal.away.touch()
    scene.run("INSERT INTO test VALUES (2, 'b')")
    scene.caught_up()
    until(lambda: consumer.ready()[0] == 503, "it tells of its target again")
    assert "takes no records" in consumer.ready()[1]["why"][0]


def test_the_page_tells_of_topics_groups_and_dead_letters(scene: Scene, journal: Journal, watch: Any) -> None:
    """Who reads behind, and what was set aside, is asked at night; the capture's page has it for all."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a'), (13, 'b')")
    capture = watch()
    scene.wait_for(2)
    journal.refused.touch()
    consumer = journal.start()
    consumer.wait_for("set aside")

    def told() -> str:
        return capture.get("/status.json")[1]

    until(lambda: scene.topic("test") in told(), "the topic")
    until(lambda: journal.group in told(), "the group")
    until(lambda: "thirteen is refused" in told(), "the dead letter, and why")
    sections = json.loads(told())["content"]["sections"]
    (letters,) = (one for one in sections if one["key"] == "letters")
    assert letters["rows"][0][:2] == ["journal", "1"]


def test_warnings_are_shown_on_the_page(scene: Scene, watch: Any) -> None:
    """The log is elsewhere, if anybody can find it."""
    scene.run("CREATE TABLE bare (a INT)", "INSERT INTO bare VALUES (1)")
    capture = watch()
    until(lambda: "Rows of a table are passed over" in capture.get("/status.json")[1], "the warning")
    assert f"{scene.database}.bare" in capture.get("/status.json")[1]


class Collector(http.server.BaseHTTPRequestHandler):
    """What an OpenTelemetry collector is to the program; keeps what it is sent."""

    sent: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.sent.append((self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_traces_are_sent_where_the_environment_says_and_records_stay_as_they_are(scene: Scene) -> None:
    """Headers would make records of a capture with traces others than those without, and readers break on them."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        scene.caught_up(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test")
        server.shutdown()
    sent = b"".join(body for path, body in Collector.sent if path == "/v1/traces")
    for word in (b"capture batch", b"commit", b"meepo2-cdc-capture", b"deployment.environment"):
        assert word in sent
    assert scene.changes() == [("write", (1,))]
    topic = TopicPartition(scene.topic("test"), 0)
    reader = Consumer({"bootstrap.servers": scene.kafka, "group.id": "none", "enable.auto.commit": False})
    with closing(reader):
        count = len(reader.list_topics(topic.topic).topics[topic.topic].partitions)
        reader.assign([TopicPartition(topic.topic, number, 0) for number in range(count)])
        (message,) = until(lambda: [one for one in reader.consume(1, 0.2) if one.error() is None], "the record")
        assert message.headers() is None
