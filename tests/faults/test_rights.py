"""
What Kafka's ACLs do not allow is told before a capture meets it.
"""

from __future__ import annotations

import json

import pytest
from confluent_kafka.admin import AclOperation, AdminClient, ResourceType

from tests.command import run, until
from tests.faults.owned import ACCOUNT, PASSWORD, OwnedKafka
from tests.faults.test_broker import grant, right
from tests.kafka import Topics
from tests.scenes import Scene


@pytest.fixture
def as_account(scene: Scene, own_kafka: OwnedKafka) -> dict[str, str]:
    return {
        **scene.settings,
        "MEEPO2_KAFKA_BOOTSTRAP_SERVERS": own_kafka.process.account_address,
        "MEEPO2_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "MEEPO2_KAFKA_SASL_MECHANISM": "PLAIN",
        "MEEPO2_KAFKA_SASL_USERNAME": ACCOUNT,
        "MEEPO2_KAFKA_SASL_PASSWORD": PASSWORD,
    }


def states(settings: dict[str, str]) -> dict[str, str]:
    """By name; without DescribeConfigs there are two of kafka-rights, the first of them a note."""
    lines = run("check", "--json", settings=settings).out.splitlines()
    return {one["check"]: one["state"] for one in map(json.loads, lines)}


def test_rights_that_lack_are_found_beforehand(scene: Scene, own_kafka: OwnedKafka, as_account: dict[str, str]) -> None:
    """Otherwise the capture ends at the first row of the first table, after somebody went home."""
    admin = AdminClient({"bootstrap.servers": own_kafka.process.address})
    topic = Topics(own_kafka.process.address).create(f"{scene.prefix}.shop.there", 4)
    grant(admin, right(ResourceType.TOPIC, scene.prefix, AclOperation.DESCRIBE))
    until(lambda: states(as_account).get("topics"), f"{topic} can be seen")

    def lacking() -> bool:
        found = states(as_account)
        return (found["kafka-create"], found["kafka-rights"]) == ("fail", "fail")

    until(lacking, "both are found, as soon as what others were granted is taken from the account")
    grant(admin, right(ResourceType.TOPIC, scene.prefix, AclOperation.CREATE))
    grant(admin, right(ResourceType.TOPIC, scene.prefix, AclOperation.WRITE))
    until(lambda: states(as_account)["kafka-rights"] == "ok", "the rights are there")
    found = states(as_account)
    assert (found["kafka-create"], found["kafka"]) == ("ok", "ok")
