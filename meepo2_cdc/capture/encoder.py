"""
Changes as Kafka messages.

The constant part of a record is encoded once for each table and each transaction; per row there are a few
concatenations left.  A test holds the result equal to what fastavro writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from meepo2_cdc.capture.binlog.transactions import Rows, Transaction, Truncate
from meepo2_cdc.capture.row_messages import RowMessages
from meepo2_cdc.kafka.writer import ANY_PARTITION, Message
from meepo2_cdc.records import Action, wire

_ACTION = {action: wire.long(number) for number, action in enumerate(Action)}


@dataclass(frozen=True, slots=True)
class Topic:
    """A table's topic, and what goes in front of each key and value in it."""

    name: str
    partitions: int
    key_header: bytes
    value_header: bytes


@dataclass(frozen=True, slots=True)
class _TableBytes:
    """Everything of a record up to its primary key, by action."""

    name: str
    topic: str
    key: bytes
    value: dict[Action, bytes]


class _TransactionBytes(NamedTuple):
    """What follows the primary key up to seq, and from seq up to the row number; the message's timestamp."""

    middle: bytes
    tail: bytes
    timestamp_ms: int


class Encoder:
    """
    Collects messages by topic until they are taken.

    `name_topic` is called once for each table, `open_topic` where its partitions must be known: it may create the
    topic.  `seq` is that of the last message.  `rows` makes the messages of tables whose rows are published too.
    """

    def __init__(
        self,
        source: str,
        seq: int,
        open_topic: Callable[[str, str], Topic],
        *,
        tombstones: bool,
        name_topic: Callable[[str, str], Topic] | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        rows: RowMessages | None = None,
    ) -> None:
        self._rows = rows
        self._source = wire.string(source)
        self.seq = seq
        self._open_topic = open_topic
        self._name_topic = name_topic or open_topic
        self._tombstones = tombstones
        self._now_ms = now_ms
        self._topics: dict[tuple[str, str], Topic] = {}
        self._high, self._high_of = b"", -1
        self._file, self._file_bytes = "", b""
        self._seen_ms = 0
        self._empty()

    def _empty(self) -> None:
        self._messages: dict[str, list[Message]] = {}
        self._counts: dict[str, dict[Action, int]] = {}
        self.rows = 0
        self.bytes = 0

    def take(self) -> tuple[dict[str, list[Message]], dict[str, dict[Action, int]]]:
        """The messages by topic, and the number of records by table and action; nothing is kept."""
        taken = self._messages, self._counts
        self._empty()
        return taken

    def _counts_of(self, table: str) -> dict[Action, int]:
        counts = self._counts[table] = dict.fromkeys(Action, 0)
        return counts

    def add_rows(self, rows: Rows) -> None:
        layout = rows.layout
        table = layout.encoded
        if table is None:
            table = layout.encoded = self._table_bytes(
                self._topic(layout.schema, layout.table), layout.schema, layout.table
            )
        transaction = rows.transaction.encoded
        if transaction is None:
            transaction = rows.transaction.encoded = self._transaction_bytes(rows.transaction)
        messages = self._messages.setdefault(table.topic, [])
        self._actions = self._counts.get(table.name) or self._counts_of(table.name)
        before = len(messages)
        if len(rows.keys) == 1:
            self._one(messages, table, transaction, rows)
        elif rows.action is Action.UPDATE:
            self._updates(messages, table, transaction, rows)
        else:
            self._one_a_row(messages, table, transaction, rows)
        self.rows += len(messages) - before
        # what differs in length between rows is little, so the last one speaks for all
        self.bytes += (len(messages) - before) * (len(table.value[rows.action]) + 2 * len(rows.keys[-1]) + 100)
        if rows.images is not None:
            self._add_whole(rows, messages[before:])

    def _add_whole(self, rows: Rows, messages: list[Message]) -> None:
        """The rows that go with the keys."""
        if self._rows is None:
            raise RuntimeError("rows are read, and nobody makes their messages")
        header = self._topic(rows.layout.schema, rows.layout.table).value_header
        for topic, message in self._rows.of(rows, messages, len(header)):
            self._messages.setdefault(topic, []).append(message)
            self.bytes += len(message[0] or b"") + len(message[1])

    def _one(self, messages: list[Message], table: _TableBytes, transaction: _TransactionBytes, rows: Rows) -> None:
        """A write or a delete alone, the usual transaction of an application: the same bytes without the loop."""
        pk, row = rows.keys[0], rows.first_row << 1
        self.seq = seq = self.seq + 1
        if seq >> 6 != self._high_of:
            self._high_of = seq >> 6
            self._high = wire.varint(seq >> 6)
        number = wire.ENDS[row] if row < 16384 else wire.varint(row)
        value = table.value[rows.action] + pk + transaction.middle + wire.LOW_SIX[seq & 63] + self._high
        key, timestamp = table.key + pk, transaction.timestamp_ms
        messages.append((value + transaction.tail + number, key, ANY_PARTITION, timestamp))
        if self._tombstones and rows.action is Action.DELETE:
            messages.append((None, key, ANY_PARTITION, timestamp))
        self._actions[rows.action] += 1

    def _one_a_row(
        self, messages: list[Message], table: _TableBytes, transaction: _TransactionBytes, rows: Rows
    ) -> None:
        """The hot loop: writes and deletes.  seq and row are spelled out, low bits first (records/wire.py)."""
        key_front, value_front = table.key, table.value[rows.action]
        middle, tail, timestamp = transaction.middle, transaction.tail, transaction.timestamp_ms
        low_six, ends, varint = wire.LOW_SIX, wire.ENDS, wire.varint
        tombstones = self._tombstones and rows.action is Action.DELETE
        append = messages.append
        seq, row = self.seq, rows.first_row << 1
        high = varint(seq >> 6)
        for pk in rows.keys:
            seq += 1
            if not seq & 63:
                high = varint(seq >> 6)
            key = key_front + pk
            number = ends[row] if row < 16384 else varint(row)
            value = value_front + pk + middle + low_six[seq & 63] + high + tail + number
            append((value, key, ANY_PARTITION, timestamp))
            row += 2
            if tombstones:
                append((None, key, ANY_PARTITION, timestamp))
        self.seq = seq
        self._actions[rows.action] += len(rows.keys)

    def _updates(self, messages: list[Message], table: _TableBytes, transaction: _TransactionBytes, rows: Rows) -> None:
        """A key that changed is a delete of the old one, then a write of the new one."""
        pairs = zip(rows.keys[::2], rows.keys[1::2], strict=True)
        for row, (old, new) in enumerate(pairs, rows.first_row):
            if old == new:
                self._append(messages, table, transaction, Action.UPDATE, new, row)
            else:
                self._append(messages, table, transaction, Action.DELETE, old, row)
                self._append(messages, table, transaction, Action.WRITE, new, row)

    def add_truncate(self, truncate: Truncate) -> None:
        """One record for each partition of the topic, since the keys of the table are in all of them."""
        names = truncate.schema, truncate.table
        topic = self._topics[names] = self._open_topic(*names)  # asked anew: there may be more partitions by now
        table = self._table_bytes(topic, truncate.schema, truncate.table)
        transaction = self._transaction_bytes(truncate.transaction)
        messages = self._messages.setdefault(topic.name, [])
        self._actions = self._counts.get(table.name) or self._counts_of(table.name)
        for partition in range(topic.partitions):
            row = truncate.transaction.rows - 1
            self._append(messages, table, transaction, Action.TRUNCATE, wire.EMPTY_KEY, row, partition)
        self.rows += topic.partitions
        if self._rows is not None:
            own, header = messages[-topic.partitions :], len(topic.value_header)
            for name, message in self._rows.of_truncate(*names, own, header):
                self._messages.setdefault(name, []).append(message)

    def _append(
        self,
        messages: list[Message],
        table: _TableBytes,
        transaction: _TransactionBytes,
        action: Action,
        pk: bytes,
        row: int,
        partition: int = ANY_PARTITION,
    ) -> None:
        self.seq += 1
        value = table.value[action] + pk + transaction.middle + wire.long(self.seq) + transaction.tail + wire.long(row)
        key, timestamp = table.key + pk, transaction.timestamp_ms
        messages.append((value, key, partition, timestamp))
        if self._tombstones and action is Action.DELETE:
            messages.append((None, key, partition, timestamp))
        self._actions[action] += 1

    def _topic(self, schema: str, table: str) -> Topic:
        topic = self._topics.get((schema, table))
        if topic is None:
            topic = self._topics[schema, table] = self._name_topic(schema, table)
        return topic

    @staticmethod
    def _table_bytes(topic: Topic, schema: str, table: str) -> _TableBytes:
        names = wire.string(schema) + wire.string(table)
        values = {action: topic.value_header + _ACTION[action] + names for action in Action}
        return _TableBytes(f"{schema}.{table}", topic.name, topic.key_header + names, values)

    def _transaction_bytes(self, transaction: Transaction) -> _TransactionBytes:
        gtid = b"\0" if transaction.gtid is None else b"\2" + wire.string(transaction.gtid)
        if transaction.file != self._file:
            self._file, self._file_bytes = transaction.file, b"\2" + wire.string(transaction.file)
        snapshot = b"\1" if transaction.snapshot else b"\0"
        # a session may set its clock; brokers refuse messages of tomorrow
        timestamp_ms = transaction.committed_us // 1000
        if timestamp_ms > self._seen_ms:
            self._seen_ms = self._now_ms()
            timestamp_ms = min(timestamp_ms, self._seen_ms)
        return _TransactionBytes(
            wire.long(transaction.committed_us) + snapshot,
            self._source + gtid + self._file_bytes + b"\2" + wire.long(transaction.position),
            timestamp_ms,
        )
