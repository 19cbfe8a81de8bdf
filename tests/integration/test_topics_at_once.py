"""
The making of topics for many tables that are new.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka.admin import AdminClient

from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import Settings

TABLES = 40


class Counting:
    """The admin client, and how often it was asked for new topics."""

    def __init__(self, kafka: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": kafka})
        self.requests = 0

    def create_topics(self, *arguments: Any, **options: Any) -> Any:
        self.requests += 1
        return self._admin.create_topics(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)


def test_the_topics_of_many_new_tables_are_made_by_one_request(kafka: str, prefix: str):
    """One after the other, ten thousand new tables keep the capture from reading for a quarter of an hour."""
    admin = Counting(kafka)
    settings = Settings(prefix=prefix, kafka={"bootstrap.servers": kafka})
    topics = CaptureTopics(settings, admin)  # type: ignore[arg-type]
    names = [topics.name("shop", f"t{number}").name for number in range(TABLES)]
    topics.create()
    assert set(names) <= admin.list_topics(timeout=30).topics.keys()
    assert admin.requests == 1
    assert topics.open("shop", "t0").partitions == settings.topics.partitions
    topics.create()
    assert admin.requests == 1
