"""
Kafka and the link to it: restarted, killed, away, cut, slow, silent; topics deleted and widened, rights withdrawn.
"""

from __future__ import annotations

import random
import re
import string
import sys
import time

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

from tests import history
from tests.command import until
from tests.faults.owned import ACCOUNT, LONG, MINUTE_SECONDS, PASSWORD, OwnedKafka
from tests.faults.trial import succeeded, survived
from tests.faults.watching import wait_for_progress
from tests.kafka import Topics
from tests.proxy import BOTH_WAYS, DOWN
from tests.scenes import STARTED, Scene

TABLE = "CREATE TABLE test (id INT PRIMARY KEY)"
IMPATIENT = (sys.executable, "-m", "tests.faults.crashing", "impatient")
REPEATING = (sys.executable, "-m", "tests.faults.crashing", "repeating")


@pytest.fixture
def admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka})


@pytest.mark.parametrize("crash", [False, True], ids=["restarted", "killed"])
def test_a_broker_that_is_restarted_or_crashes(scene: Scene, own_kafka: OwnedKafka, crash: bool) -> None:
    """A commit that is under way may be done or not, and nobody says which."""
    with succeeded(scene):
        capture = scene.capture()
        before = wait_for_progress(scene).seq
        if crash:
            own_kafka.process.kill()
        else:
            own_kafka.process.stop()
        own_kafka.process.start()
        until(lambda: not capture.runs or seq_of(scene) > before, "it goes on, or ends")
        # on a slow machine the broker is away for longer than messages wait for it, which is ten seconds
        outcome = capture.stop() if capture.runs else capture.end()
        assert outcome.code in (0, 1), outcome.err


def seq_of(scene: Scene) -> int:
    checkpoint = scene.checkpoint()
    assert checkpoint is not None
    return checkpoint.seq


def test_a_broker_that_is_away_for_longer_than_a_commit_may_take(scene: Scene, own_kafka: OwnedKafka) -> None:
    """The capture gives up and says why; what it had in hand is read again by the next."""
    with succeeded(scene):
        capture = scene.capture() if LONG else scene.launch(program=IMPATIENT)
        capture.wait_for(STARTED)
        wait_for_progress(scene)
        own_kafka.process.kill()
        down = time.monotonic()
        try:
            given_up = capture.end()
            while LONG and time.monotonic() - down < MINUTE_SECONDS:
                refuse_a_start(scene)
        finally:
            own_kafka.process.start()
        assert given_up.code == 1, given_up.err
        assert re.match(r"meepo2-cdc: Kafka did not commit a batch, which was tried for \d+ s: ", given_up.complaint)
        assert "Start the capture again" in given_up.complaint


def refuse_a_start(scene: Scene) -> None:
    """A supervisor starts it again and again meanwhile."""
    outcome = scene.once()
    assert outcome.code == 1, outcome.err
    assert "does not answer" in outcome.complaint, outcome.err


def test_a_link_to_kafka_that_is_cut_and_refused(scene: Scene, own_kafka: OwnedKafka) -> None:
    """What librdkafka sends again must be there once."""
    with survived(scene, only_rows=True):
        for _ in range(5):
            own_kafka.proxy.cut()
            wait_for_progress(scene)
        with own_kafka.proxy.refusing():
            wait_for_source(scene)


def wait_for_source(scene: Scene, log_bytes: int = 100_000) -> None:
    """Something happens on the source while nothing gets through."""

    def end() -> int:
        return int(scene.server.end().rpartition(":")[2])

    before = end()
    until(lambda: end() > before + log_bytes, "the source goes on")


def test_a_link_to_kafka_that_is_slow_and_sliced(scene: Scene, own_kafka: OwnedKafka) -> None:
    """A slow commit makes the capture replace its producer, and every replacement is a chance to lose a batch."""
    with survived(scene) as capture:
        for weather in ({"piece_bytes": 200}, {"bytes_per_second": 1_000_000.0}, {"delay_seconds": 0.2}):
            with own_kafka.proxy.having(**weather):
                wait_for_progress(scene)
        capture.wait_for("The producer was replaced after a slow commit")


@pytest.mark.parametrize("silent", [BOTH_WAYS, frozenset((DOWN,))], ids=["both ways", "from Kafka"])
def test_a_link_to_kafka_that_falls_silent_for_a_while(
    scene: Scene, own_kafka: OwnedKafka, silent: frozenset[str]
) -> None:
    """With the answers lost, a commit that is done looks like one that is not."""
    with survived(scene, only_rows=True, program=REPEATING) as capture:
        with own_kafka.proxy.having(stalled=silent):
            capture.wait_for("A commit is repeated")
            own_kafka.proxy.cut()  # what waits in the link is gone with it
        capture.wait_for("The producer was replaced after a slow commit")


def test_a_lock_that_is_lost_to_nobody(scene: Scene, own_kafka: OwnedKafka) -> None:
    """Exit 4 would make an operator look for another instance, and there is none."""
    scene.run(TABLE)
    capture = scene.capture("--standby")
    with own_kafka.proxy.having(stalled=BOTH_WAYS):
        capture.wait_for("The lock was lost")
        own_kafka.proxy.cut()
    outcome = capture.end()
    assert outcome.code == 1, outcome.err
    assert "the lock was lost: Kafka was away" in outcome.complaint


def test_a_transaction_of_somebody_else_without_an_end_is_left_alone(scene: Scene) -> None:
    """Only its own producer may end it; the capture goes on, and its records are seen once that is done."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    scene.caught_up("--start", "earliest")
    with Topics(scene.kafka).producer() as producer:
        producer.begin_transaction()
        producer.produce(scene.topic("test"), b"?", b"?", partition=2)
        producer.flush(30)
        scene.run("INSERT INTO test VALUES (2)")
        outcome = scene.once()
        producer.abort_transaction(30)
    assert outcome.code == 0, outcome.err
    assert "Transactions of others are open" in outcome.err
    scene.caught_up()
    assert scene.changes() == [("write", (1,)), ("write", (2,))]


# -- what an operator can do to a capture that runs


def test_a_data_topic_that_is_deleted(scene: Scene, admin: AdminClient) -> None:
    """Records go nowhere; that must be said, and the next start must go on where this one stopped."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    capture = scene.capture("--start", "earliest")
    scene.wait_for(1)
    delete(admin, scene.topic("test"))
    scene.run("INSERT INTO test VALUES (2)")
    outcome = capture.end()
    assert outcome.code == 1, outcome.err
    assert f"{scene.topic('test')} was deleted" in outcome.complaint
    scene.caught_up()
    assert scene.changes() == [("write", (2,))]


def test_a_checkpoint_topic_that_is_deleted(scene: Scene, admin: AdminClient) -> None:
    """To make it anew and go on at the end of the log would be a gap that nobody hears of."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    capture = scene.capture()
    scene.wait_for(1)
    delete(admin, f"{scene.prefix}.checkpoints.db")
    scene.run("INSERT INTO test VALUES (2)")
    outcome = capture.end()
    assert outcome.code == 1, outcome.err
    assert f"{scene.prefix}.checkpoints.db was deleted" in outcome.complaint
    refused = scene.once()
    assert refused.code == 3, refused.err
    assert "meepo2-cdc checkpoint set" in refused.complaint
    assert scene.changes() == [("write", (1,))]


def test_partitions_that_are_added(scene: Scene, admin: AdminClient) -> None:
    """Keys move to other partitions; from then on each must stay where it is, and a TRUNCATE must reach them all."""
    scene.run(TABLE)
    capture = scene.capture()
    scene.run("INSERT INTO test VALUES (1)")
    scene.wait_for(1)
    admin.create_partitions([NewPartitions(scene.topic("test"), 9)])[scene.topic("test")].result(30)
    scene.run("INSERT INTO test VALUES " + ", ".join(f"({n})" for n in range(2, 200)))
    scene.wait_for(199)
    assert capture.stop().code == 0
    last = scene.reads()

    for _ in range(2):
        scene.run("DELETE FROM test", "INSERT INTO test VALUES " + ", ".join(f"({n})" for n in range(1, 200)))
        scene.caught_up()
    scene.run("TRUNCATE TABLE test")
    scene.caught_up()

    seen = {one.action.seq for one in last if one.action}
    later = [one for one in scene.reads() if one.action and one.action.seq not in seen]
    assert sum(one.action.action.value == "truncate" for one in later if one.action) == 9
    places = {(one.key, one.partition) for one in later if one.action and one.action.action.value != "truncate"}
    assert len(places) == 199
    assert len({partition for _, partition in places}) == 9
    assert history.by_key(scene.changes("test"))[(7,)] == ["write"] + ["delete", "write"] * 2


@pytest.mark.parametrize("wanted", ["more copies than brokers", "a policy that there is none of"])
def test_a_topic_that_kafka_will_not_make(scene: Scene, own_kafka: OwnedKafka, wanted: str) -> None:
    """No restart mends a setting: it must be named, and not be taken for trouble that passes."""
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    if wanted == "more copies than brokers":
        outcome = scene.once(MEEPO2_TOPICS_REPLICATION_FACTOR="3")
        assert "topics.replication_factor = 3: Kafka has 1 broker now" in outcome.complaint, outcome.err
    else:
        outcome = scene.once(MEEPO2_TOPICS_RETENTION_MS="99999999999999999999")
        assert "Kafka refuses to make the topic" in outcome.complaint, outcome.err
    assert outcome.code == 2, outcome.err


def test_a_key_that_is_too_large_for_its_topic(scene: Scene, admin: AdminClient) -> None:
    """It can never be written: the capture must say so, and go on once there is room for it."""
    scene.run("CREATE TABLE test (id VARCHAR(3000) CHARACTER SET latin1 PRIMARY KEY)", "INSERT INTO test VALUES ('a')")
    scene.caught_up()
    set_topic(admin, scene.topic("test"), "max.message.bytes", "2000")
    dice = random.Random(1)  # noqa: S311 - a key that cannot be compressed, not a secret
    large = "".join(dice.choices(string.ascii_letters + string.digits, k=3000))
    scene.run(f"INSERT INTO test VALUES ('{large}')", "INSERT INTO test VALUES ('b')")
    for _ in range(2):
        outcome = scene.once()
        assert outcome.code == 1, outcome.err
        assert "too large" in outcome.complaint.lower(), outcome.err
    set_topic(admin, scene.topic("test"), "max.message.bytes", "100000")
    scene.caught_up()
    assert scene.changes() == [("write", ("a",)), ("write", (large,)), ("write", ("b",))]


def test_rights_that_are_withdrawn_and_given_back(scene: Scene, admin: AdminClient, own_kafka: OwnedKafka) -> None:
    """A change of ACLs is a change of configuration: what lacks must be named, and nothing be left out."""
    log_in_to_kafka(scene, own_kafka)
    needed = [
        right(ResourceType.TOPIC, scene.prefix, AclOperation.ALL),
        right(ResourceType.TRANSACTIONAL_ID, scene.prefix, AclOperation.ALL),
        right(ResourceType.GROUP, "meepo2-cdc", AclOperation.READ),
        right(ResourceType.BROKER, "kafka-cluster", AclOperation.ALL, ResourcePatternType.LITERAL),
    ]
    grant(admin, *needed)
    scene.run(TABLE, "INSERT INTO test VALUES (1)")
    capture = scene.capture()
    scene.wait_for(1)
    for withdrawn in (needed[0], needed[1]):
        withdraw(admin, withdrawn)
        scene.run("INSERT INTO test SELECT MAX(id) + 1 FROM test")
        outcome = capture.end()
        assert outcome.code == 2, outcome.err
        assert "Kafka refuses the capture" in outcome.complaint, outcome.err
        grant(admin, withdrawn)
        capture = scene.capture()
    scene.wait_for(3)
    assert scene.changes() == [("write", (n,)) for n in (1, 2, 3)]


def delete(admin: AdminClient, topic: str) -> None:
    admin.delete_topics([topic])[topic].result(30)
    until(lambda: topic not in admin.list_topics(timeout=30).topics, f"{topic} is gone")


def set_topic(admin: AdminClient, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)


def log_in_to_kafka(scene: Scene, own_kafka: OwnedKafka) -> None:
    scene.settings |= {
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": own_kafka.process.account_address,
        "MEEPO2_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "MEEPO2_KAFKA_SASL_MECHANISM": "PLAIN",
        "MEEPO2_KAFKA_SASL_USERNAME": ACCOUNT,
        "MEEPO2_KAFKA_SASL_PASSWORD": PASSWORD,
    }


def right(
    kind: ResourceType,
    name: str,
    operation: AclOperation,
    pattern: ResourcePatternType = ResourcePatternType.PREFIXED,
) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{ACCOUNT}", "*", operation, AclPermissionType.ALLOW)


def grant(admin: AdminClient, *rights: AclBinding) -> None:
    for done in admin.create_acls(list(rights)).values():
        done.result(30)


def withdraw(admin: AdminClient, one: AclBinding) -> None:
    asked = AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, one.host, one.operation, one.permission_type
    )
    assert admin.delete_acls([asked])[asked].result(30)
