"""
The messages of row topics, made from those of the same changes in the data topics.

A RowChange begins as its TableAction does, with another header, and goes on with the rows (schemas/row_change).  So it
costs tables without row topics nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from meepo2_cdc.capture.binlog.transactions import Rows
from meepo2_cdc.config import RowsSettings
from meepo2_cdc.kafka.writer import Message
from meepo2_cdc.observe import metrics
from meepo2_cdc.records import Action, wire

NULL, SOME = b"\0", b"\2"
"""Branches of the unions [null, map] and [null, string]."""

_UNREADABLE = "the row cannot be read"


class RowTopic(Protocol):
    """As capture.encoder.Topic."""

    @property
    def name(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    @property
    def value_header(self) -> bytes: ...


class RowTopics(Protocol):
    """The topics of the tables whose rows are published."""

    def has_rows(self, schema: str, table: str) -> bool: ...

    def open_rows(self, schema: str, table: str) -> RowTopic: ...

    def name_rows(self, schema: str, table: str) -> RowTopic:
        """As `open_rows`, for a topic that need not exist yet."""

    def name_row_letters(self) -> RowTopic:
        """Where records go without their values that are too large."""


Images = tuple[bytes, bytes]
"""`before` and `after` as the record has them."""


class RowMessages:
    """Made one by one from the messages of the data topics, in whose values `header_bytes` stand in front."""

    def __init__(self, topics: RowTopics) -> None:
        self._topics = topics
        self._known: dict[tuple[str, str], RowTopic] = {}

    def of(self, rows: Rows, messages: Sequence[Message], header_bytes: int) -> Iterator[tuple[str, Message]]:
        """Topic and message for each of `messages`, which these rows have given."""
        topic = self._topic(rows.layout.schema, rows.layout.table)
        images = iter(_images(rows))
        for value, key, partition, timestamp in messages:
            if value is None:
                yield topic.name, (None, key, partition, timestamp)
            else:
                to, whole = self._whole(rows, topic, value[header_bytes:], next(images))
                yield to.name, (whole, key, partition, timestamp)

    def _whole(self, rows: Rows, topic: RowTopic, body: bytes, images: Images | None) -> tuple[RowTopic, bytes]:
        if images is None:
            return topic, topic.value_header + body + left_out(_UNREADABLE)
        size, rule = len(images[0]) + len(images[1]) - len(NULL + SOME), rows.layout.payload.rule
        if size <= rule.max_bytes:
            return topic, topic.value_header + body + NULL + images[0] + images[1]
        return self._oversize(rows.layout.qualified_table, rule, topic, body, size)

    def of_truncate(
        self, schema: str, table: str, messages: Sequence[Message], header_bytes: int
    ) -> Iterator[tuple[str, Message]]:
        """One for each partition of the row topic, which may have another number of them than the data topic."""
        if not self._topics.has_rows(schema, table):
            return
        topic = self._known[schema, table] = self._topics.open_rows(schema, table)
        for partition in range(topic.partitions):
            value, key, _, timestamp = messages[min(partition, len(messages) - 1)]
            body = (value or b"")[header_bytes:]
            yield topic.name, (topic.value_header + body + NULL * 3, key, partition, timestamp)

    def _topic(self, schema: str, table: str) -> RowTopic:
        found = self._known.get((schema, table))
        if found is None:
            found = self._known[schema, table] = self._topics.name_rows(schema, table)
        return found

    def _oversize(
        self, table: str, rule: RowsSettings, topic: RowTopic, body: bytes, size: int
    ) -> tuple[RowTopic, bytes]:
        metrics.ROWS_LEFT_OUT.labels(metrics.TABLES.of(table), rule.oversize).inc()
        to = topic if rule.oversize == "key-only" else self._topics.name_row_letters()
        return to, to.value_header + body + left_out(f"{size} bytes, and {rule.max_bytes} are the limit")


def left_out(why: str) -> bytes:
    """The end of a record without its values."""
    return SOME + wire.string(why) + NULL + NULL


def _images(rows: Rows) -> Iterable[Images | None]:
    """One for each record of the rows: a changed key makes two of an update."""
    found = rows.images
    if not found:
        return _none(rows)
    if rows.action is Action.WRITE:
        return ((NULL, SOME + image) for image in found)
    if rows.action is Action.DELETE:
        return ((SOME + image, NULL) for image in found)
    return _of_updates(rows, found)


def _none(rows: Rows) -> Iterator[None]:
    while True:
        yield None


def _of_updates(rows: Rows, found: Sequence[bytes]) -> Iterator[Images]:
    for n in range(0, len(found), 2):
        before, after = SOME + found[n], SOME + found[n + 1]
        if rows.keys[n] == rows.keys[n + 1]:
            yield before, after
        else:
            yield before, NULL
            yield NULL, after
