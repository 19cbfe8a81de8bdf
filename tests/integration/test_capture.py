"""
The capture against real servers: what is committed when, what is refused, what survives.
"""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from meepo2_cdc.errors import Fenced
from meepo2_cdc.kafka import checkpoints as checkpoint_topic
from meepo2_cdc.kafka.registry import schema_of_id
from meepo2_cdc.kafka.topics import ensure_topic
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.records.checkpoint import Checkpoint
from tests import history
from tests.command import until
from tests.faults import workload
from tests.faults.watching import checkpoints
from tests.history import by_key
from tests.scenes import FULL_METADATA, STARTED, MakeScene, Scene, Server, both, both_own
from tests.services import native

TABLE = "CREATE TABLE test (id INT PRIMARY KEY, data VARCHAR(256))"
LARGE_ROWS = 300_000
MEMORY_BYTES = 150_000_000
SOON_GONE = {"MEEPO2_SOURCE_HEARTBEAT_SECONDS": "0.2"}
"""A server notices that a reader is gone when it sends it something."""

CHECKPOINT = Checkpoint(
    source="db", flavor="mysql", server=None, gtid_set=None, file="binlog.000001", position=4, gtid=None,
    rows_done=0, undecided=None, seq=1, tables=("*.*",), committed_at=None, written_by="a test",
    written_at=datetime(2026, 7, 1, tzinfo=UTC),
)  # fmt: skip


# -- the order of the start


@pytest.fixture
def make_writer(kafka: str, prefix: str) -> Callable[[], TransactionalWriter]:
    """Writers of one transactional id, the checkpoint topic made."""
    topic = f"{prefix}.checkpoints.db"
    ensure_topic(AdminClient({"bootstrap.servers": kafka}), topic, 1, 1, checkpoint_topic.TOPIC_CONFIG)
    return lambda: TransactionalWriter({"bootstrap.servers": kafka, "log_level": "0"}, f"{prefix}.db", topic, "db")


def test_the_checkpoint_is_read_when_the_predecessor_can_commit_no_more(
    make_writer: Callable[[], TransactionalWriter], kafka: str, prefix: str
) -> None:
    """A checkpoint that is read before can be out of date when reading begins: everything between comes twice."""
    first = make_writer()
    assert first.open() is None
    first.write({}, CHECKPOINT)
    hanging = Producer({"bootstrap.servers": kafka, "transactional.id": f"{prefix}.db", "log_level": 0})
    hanging.init_transactions(30)
    hanging.begin_transaction()
    hanging.produce(f"{prefix}.checkpoints.db", replace(CHECKPOINT, seq=2).encoded(), b"db")
    hanging.flush(30)
    assert make_writer().open() == CHECKPOINT
    with pytest.raises(KafkaException, match="fenced"):
        hanging.commit_transaction(30)
    assert make_writer().open() == CHECKPOINT


@pytest.mark.parametrize("moment", range(8))
def test_a_writer_that_is_fenced_says_so_wherever_it_is(
    make_writer: Callable[[], TransactionalWriter], kafka: str, prefix: str, moment: int
) -> None:
    """librdkafka calls it by five names; under each it is exit code 4, which a supervisor must not take for a crash."""
    topic = f"{prefix}.data"
    ensure_topic(AdminClient({"bootstrap.servers": kafka}), topic, 4, 1, {})
    writer, successor = make_writer(), make_writer()
    writer.open()
    batch = [(b"x" * 30, str(n).encode(), -1, 0) for n in range(3000)]
    taking_over = threading.Timer(0.05 + 0.017 * moment, successor.open)
    taking_over.start()
    with pytest.raises(Fenced):
        until(lambda: writer.write({topic: batch}, CHECKPOINT), "the end of the first writer")
    taking_over.join()
    successor.write({topic: batch}, CHECKPOINT)


@both
def test_a_first_start_is_fixed_before_anything_is_read(scene: Scene) -> None:
    """`latest` must not mean another place after a crash that came before the first record."""
    scene.run(TABLE)
    capture = scene.capture("--start", "latest")
    capture.kill()
    scene.run("INSERT INTO test VALUES (1, 'a')")
    scene.caught_up("--start", "latest")
    assert scene.changes() == [("write", (1,))]


# -- what is refused


def test_records_without_a_checkpoint_are_refused(scene: Scene) -> None:
    """Beginning anew would repeat what is there or leave a gap, and nobody would hear of it."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    scene.caught_up()
    topic = f"{scene.prefix}.checkpoints.db"
    admin = AdminClient({"bootstrap.servers": scene.kafka})
    admin.delete_topics([topic])[topic].result(30)
    until(lambda: topic not in admin.list_topics(timeout=30).topics, "the end of the topic")
    outcome = scene.once()
    assert outcome.code == 3
    assert scene.topic("test") in outcome.complaint
    assert f"{topic} holds no checkpoint" in outcome.complaint
    assert len(scene.changes()) == 1
    assert scene.once(MEEPO2_SOURCE_NAME="another").code == 0


@both_own
def test_a_purged_position_is_refused_with_the_ways_out(scene: Scene) -> None:
    """Going on with what is left would be a gap that nobody hears of."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    scene.caught_up(**SOON_GONE)
    scene.run("INSERT INTO test VALUES (2, 'b')", "FLUSH BINARY LOGS", "INSERT INTO test VALUES (3, 'c')")
    until(lambda: _purged(scene.server), "the purge of what the last capture had read")
    outcome = scene.once()
    assert outcome.code == 3
    assert "purged" in outcome.complaint
    assert "Ways out" in outcome.complaint
    assert len(scene.changes()) == 1


def _purged(server: Server) -> bool:
    """MariaDB keeps a file for as long as it believes that somebody reads it."""
    last = server.end().split(":")[0]
    server.run(f"PURGE BINARY LOGS TO '{last}'")
    return [row["Log_name"] for row in server.ask("SHOW BINARY LOGS")] == [last]


@both_own
def test_a_server_with_fewer_transactions_is_refused(scene: Scene) -> None:
    """A backup was restored: what it repeats would be told again, under the names of other changes."""
    scene.run(TABLE, *(f"INSERT INTO test VALUES ({n}, 'a')" for n in range(50)))
    scene.caught_up()
    scene.run("RESET MASTER", "INSERT INTO test VALUES (99, 'b')")
    outcome = scene.once()
    assert outcome.code == 3
    scene.run(*(f"INSERT INTO test VALUES ({n}, '{'x' * 200}')" for n in range(100, 140)))
    outcome = scene.once()
    assert outcome.code == 3
    assert "Ways out" in outcome.complaint
    assert len(scene.changes()) == 50


# -- transactions larger than a batch


@both_own
def test_a_split_transaction_is_resumed_exactly(scene: Scene) -> None:
    """Rows are counted, not events: a row too many is lost, one too few comes twice."""
    split = {"MEEPO2_CAPTURE_COMMIT_ROWS": "1000"}
    workload.prepare(scene)
    capture = scene.capture(**split)
    with checkpoints(scene) as wait:
        inserting = threading.Thread(target=workload.insert_bulk, args=(scene, 0))
        inserting.start()
        middle = wait(lambda one: one.rows_done > 0, "inside the transaction")
        capture.kill()
        inserting.join()
    assert 0 < middle.rows_done < workload.BULK_ROWS
    refused = scene.once(MEEPO2_TABLES=f"{scene.database}.bulk", **split)
    if (now := scene.checkpoint()) and now.rows_done:
        assert refused.code == 5
        assert "tables is now" in refused.complaint
    scene.caught_up(**split)
    assert by_key(scene.changes()) == {(n,): ["write"] for n in range(workload.BULK_ROWS)}


def test_memory_is_bounded_through_a_large_transaction(make_scene: MakeScene, own_mysql: Server) -> None:
    """A transaction that does not fit into memory would be read, and die, again and again."""
    scene = make_scene(own_mysql)
    workload.prepare(scene)
    capture = scene.capture()
    base = scene.checkpoint()
    assert base is not None
    workload.insert_bulk(scene, 0)
    inserts = " UNION ALL ".join(f"SELECT id + {n * 100_000} AS id FROM bulk" for n in range(1, 6))
    with checkpoints(scene) as wait:
        scene.run(f"INSERT INTO number (id, n) SELECT t.id, 1 FROM ({inserts}) t")
        wait(lambda one: one.seq == base.seq + workload.BULK_ROWS + LARGE_ROWS, "behind the last row")
    assert capture.resident_bytes() < MEMORY_BYTES
    assert capture.stop().code == 0
    assert scene.checkpoint().seq == base.seq + workload.BULK_ROWS + LARGE_ROWS  # type: ignore[union-attr]


# -- when a checkpoint is written


@both
def test_an_idle_capture_checkpoints_past_what_it_does_not_want(scene: Scene) -> None:
    """The log is purged behind readers; a position that waits for a wanted change is one day gone."""
    scene.run(TABLE, "CREATE TABLE other (id INT PRIMARY KEY)")
    scene.capture(MEEPO2_TABLES=f"{scene.database}.test", MEEPO2_CAPTURE_IDLE_CHECKPOINT_SECONDS="0.2")
    scene.run("INSERT INTO other VALUES (1)")
    end = scene.server.end()
    file, offset = end.split(":")

    def passed() -> bool:
        found = scene.checkpoint()
        return found is not None and (found.file, found.position) >= (file, int(offset))

    until(passed, f"a checkpoint at {end}")
    assert scene.changes() == []


@both
def test_an_idle_stream_is_committed_at_once(scene: Scene) -> None:
    """The interval is for busy streams; a single change must not wait for it."""
    scene.run(TABLE)
    scene.capture(MEEPO2_CAPTURE_COMMIT_INTERVAL_MS="600000")
    scene.run("INSERT INTO test VALUES (1, 'a')")
    assert scene.wait_for(1) == [("write", (1,))]


def test_a_kill_between_two_commits_repeats_nothing(scene: Scene) -> None:
    """Records and checkpoint are one transaction, or the first of them is told again."""
    scene.run(TABLE)
    capture = scene.capture()
    scene.run("INSERT INTO test VALUES (1, 'a')")
    scene.wait_for(1)
    capture.send(signal.SIGSTOP)
    scene.run("INSERT INTO test VALUES (2, 'b')")
    capture.kill()
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,))]


# -- servers that go away


def _break(server: native.PrivateServer, how: str) -> None:
    if how == "frozen":
        os.kill(server.pid, signal.SIGSTOP)
    else:
        {"stopped": server.stop, "killed": server.kill}[how]()


def _mend(server: native.PrivateServer, how: str) -> None:
    if how == "frozen":
        os.kill(server.pid, signal.SIGCONT)
    else:
        server.start()


@pytest.mark.parametrize(("flavor", "how"), [("mysql", "stopped"), ("mariadb", "killed"), ("mariadb", "frozen")])
def test_a_server_that_comes_back_is_read_on_exactly(
    flavor: str, how: str, kafka: str, prefix: str, tmp_path: Path
) -> None:
    """The library's own reconnecting reads the log again from where the process began."""
    with (
        getattr(native, flavor)(tmp_path, FULL_METADATA) as private,
        closing(Scene(Server(private.dsn), kafka, prefix)) as scene,
    ):
        scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')", "INSERT INTO test VALUES (2, 'b')")
        capture = scene.capture(MEEPO2_SOURCE_HEARTBEAT_SECONDS="0.5", MEEPO2_SOURCE_CONNECT_TIMEOUT_SECONDS="2")
        scene.wait_for(2)
        _break(private, how)
        capture.wait_for("The connection to the source was lost")
        _mend(private, how)
        scene.run("INSERT INTO test VALUES (3, 'c')")
        assert scene.wait_for(3) == [("write", (1,)), ("write", (2,)), ("write", (3,))]
        assert capture.stop().code == 0


# -- what is written


def test_records_are_framed_for_a_schema_registry(scene: Scene, registry: str) -> None:
    """Every consumer of the Confluent ecosystem expects the schema's number in front, under the usual subject."""
    scene.settings["MEEPO2_SCHEMA_REGISTRY_URL"] = registry
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    scene.caught_up()
    topic = scene.topic("test")
    (read,) = history.committed(scene.kafka, [topic], schema_of_id(registry))
    assert read.action is not None
    assert read.action.pk == (1,)
    for raw, subject in ((read.key, f"{topic}-key"), (read.value, f"{topic}-value")):
        assert raw is not None
        assert raw[0] == 0
        with urllib.request.urlopen(f"{registry}/subjects/{subject}/versions/latest") as answer:  # noqa: S310
            assert f'"id":{int.from_bytes(raw[1:5], "big")},' in answer.read().decode().replace(" ", "")
    printed = scene.command("replay", "--json")
    assert '"pk": [1]' in printed.out, printed.err


def test_compacted_topics_get_a_tombstone_behind_each_delete(scene: Scene) -> None:
    """Without it the keys of all rows that ever were stay for ever."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')", "UPDATE test SET id = 2", "DELETE FROM test")
    scene.caught_up(MEEPO2_TOPICS_CLEANUP_POLICY="compact")
    by_partition_key: dict[bytes, list[str]] = {}
    for read in scene.reads():
        by_partition_key.setdefault(read.key, []).append("" if read.action is None else read.action.action.value)
    assert list(by_partition_key.values()) == [["write", "delete", ""]] * 2
    admin = AdminClient({"bootstrap.servers": scene.kafka})
    resource = ConfigResource(ResourceType.TOPIC, scene.topic("test"))
    assert admin.describe_configs([resource])[resource].result(30)["cleanup.policy"].value == "compact"


@both
def test_a_message_bears_the_time_of_its_commit(scene: Scene) -> None:
    """Replaying from a time means the source's time, not that of the capture."""
    scene.run(TABLE)
    before = _now(scene)
    scene.run("INSERT INTO test VALUES (1, 'a')")
    after = _now(scene) + timedelta(seconds=1)
    scene.caught_up()
    (read,) = scene.reads()
    assert read.action is not None
    assert before.replace(microsecond=0) <= read.action.committed_at <= after
    assert read.timestamp_ms == int(read.action.committed_at.timestamp() * 1000)


def _now(scene: Scene) -> datetime:
    return datetime.fromtimestamp(float(scene.ask("SELECT UNIX_TIMESTAMP(NOW(6)) AS t")[0]["t"]), UTC)


@both
def test_nothing_is_left_open_when_a_capture_is_stopped_before_it_reads(scene: Scene) -> None:
    """A stop during the start is as common as any other."""
    scene.run(TABLE, "INSERT INTO test VALUES (1, 'a')")
    capture = scene.launch()
    capture.wait_for(STARTED)
    assert capture.stop().code == 0
    scene.caught_up()
    assert scene.changes() == [("write", (1,))]
