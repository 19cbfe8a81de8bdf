"""
Changes of sessions as Kafka messages.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from meepo2_cdc.capture.encoder import Topic
from meepo2_cdc.capture.session.changes import Change
from meepo2_cdc.kafka.writer import ANY_PARTITION, Message
from meepo2_cdc.records import Action, Source
from meepo2_cdc.records.avro import encode, encode_key
from meepo2_cdc.records.wire import LONG_MAX


class Encoder:
    """Collects messages by topic until they are taken.  `seq` is that of the last one."""

    def __init__(self, open_topic: Callable[[str, str], Topic], *, tombstones: bool, seq: int = 0) -> None:
        self.seq = seq
        self._open_topic = open_topic
        self._tombstones = tombstones
        self._topics: dict[tuple[str, str], Topic] = {}
        self._messages: dict[str, list[Message]] = {}
        self._counts: dict[str, dict[Action, int]] = {}

    def add(self, change: Change, committed_at: datetime, source: Source) -> None:
        self.seq += 1
        names = change.schema, change.table
        topic = self._topics.get(names)
        if topic is None:
            topic = self._topics[names] = self._open_topic(*names)
        key = encode_key(*names, change.pk, topic.key_header)
        value = encode("table_action", _fields(change, committed_at, source, self.seq), topic.value_header)
        # brokers refuse messages of tomorrow, and clocks differ
        timestamp = min(int(committed_at.timestamp() * 1000), time.time_ns() // 1_000_000)
        messages = self._messages.setdefault(topic.name, [])
        messages.append((value, key, ANY_PARTITION, timestamp))
        if self._tombstones and change.action is Action.DELETE:
            messages.append((None, key, ANY_PARTITION, timestamp))
        counts = self._counts.setdefault(f"{change.schema}.{change.table}", {})
        counts[change.action] = counts.get(change.action, 0) + 1

    def take(self) -> tuple[dict[str, list[Message]], dict[str, dict[Action, int]]]:
        """The messages by topic, and the number of records by table and action; nothing is kept."""
        taken = self._messages, self._counts
        self._messages, self._counts = {}, {}
        return taken


def _fields(change: Change, committed_at: datetime, source: Source, seq: int) -> dict[str, object]:
    return {
        "action": change.action.value,
        "schema": change.schema,
        "table": change.table,
        "pk": [str(part) if isinstance(part, int) and part > LONG_MAX else part for part in change.pk],
        "committed_at": committed_at,
        "snapshot": False,
        "seq": seq,
        "source": {
            "name": source.name,
            "gtid": source.gtid,
            "file": source.file,
            "position": source.position,
            "row": source.row,
        },
    }
