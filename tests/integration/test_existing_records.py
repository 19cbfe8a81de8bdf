"""
Whether a topic holds records of a source, when its checkpoint is gone.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import Settings, SourceSettings
from meepo2_cdc.errors import PositionLost
from meepo2_cdc.kafka.topics import ensure_topic
from meepo2_cdc.records.avro import Decoder, encode

GOLDEN = Path(__file__).parents[2] / "schemas" / "table_action" / "golden" / "v1-delete.bin"
MANY = 150


def record_of(source: str) -> bytes:
    action = Decoder("table_action").decode(GOLDEN.read_bytes())
    return encode("table_action", action | {"source": action["source"] | {"name": source}})


class Topics:
    """A topic of one partition, and what the capture of the source `db` makes of it."""

    def __init__(self, kafka: str, prefix: str) -> None:
        admin = AdminClient({"bootstrap.servers": kafka})
        self.name = f"{prefix}.shop.item"
        ensure_topic(admin, self.name, 1, 1, {})
        settings = Settings(prefix=prefix, source=SourceSettings(name="db"), kafka={"bootstrap.servers": kafka})
        self._capture = CaptureTopics(settings, admin)
        self._producer = Producer({"bootstrap.servers": kafka, "transactional.id": f"{prefix}.test"})
        self._producer.init_transactions(30)

    def write(self, source: str) -> None:
        """In a transaction of its own, whose end has an offset too."""
        self._producer.begin_transaction()
        self._producer.produce(self.name, record_of(source), b"key", 0)
        self._producer.commit_transaction(30)

    def are_refused(self) -> bool:
        try:
            self._capture.refuse_existing_records()
        except PositionLost as lost:
            return self.name in lost.found
        return False


@pytest.fixture
def topics(kafka: str, prefix: str) -> Topics:
    return Topics(kafka, prefix)


def test_records_are_found_behind_many_of_another_source(topics: Topics) -> None:
    """Sources can share a topic: what came last is not all that is there."""
    assert not topics.are_refused()
    topics.write("db")
    assert topics.are_refused()
    for _ in range(MANY):
        topics.write("another")
    assert topics.are_refused()


def test_a_topic_of_other_sources_alone_is_no_hindrance(topics: Topics) -> None:
    """However far back one has to look."""
    for _ in range(MANY):
        topics.write("another")
    assert not topics.are_refused()
