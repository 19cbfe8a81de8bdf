"""
What a server's log gives where rows are asked for: read, encoded and decoded in this process, by everything but Kafka.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.connection import DumpPosition, open_dump
from meepo2_cdc.capture.binlog.full_rows import Payloads
from meepo2_cdc.capture.binlog.stream import BinlogStream
from meepo2_cdc.capture.binlog.transactions import Mark, Position, Rows, Since
from meepo2_cdc.capture.encoder import Encoder, Topic
from meepo2_cdc.capture.row_messages import RowMessages
from meepo2_cdc.config import RowsSettings
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import single_object_header
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.records.row_avro import ChangeDecoder
from meepo2_cdc.records.row_change import RowChange
from meepo2_cdc.table_filter import TableFilter
from tests.reading import SILENCE_SECONDS, Log

LETTERS = "letters"


class RowTopics:
    """Topics without a Kafka: those of keys are `keys.TABLE`, those of rows `rows.TABLE`."""

    def __init__(self, rules: Sequence[RowsSettings]) -> None:
        self._tables = [TableFilter(rule.tables) for rule in rules]

    def has_rows(self, schema: str, table: str) -> bool:
        return any(tables.passes(schema, table) for tables in self._tables)

    def open_rows(self, schema: str, table: str) -> Topic:
        return _topic(f"rows.{table}", "row_change")

    name_rows = open_rows

    def name_row_letters(self) -> Topic:
        return _topic(LETTERS, "row_change")


def _topic(name: str, record: str) -> Topic:
    return Topic(name, 1, single_object_header("table_key"), single_object_header(record))


class RowReading:
    """Reads the log of one database from where it ends now."""

    def __init__(self, log: Log, database: str, rules: Sequence[RowsSettings], *, skip_unreadable: bool) -> None:
        begin = log.end()
        self._reader = ChangeReader(
            Position(begin.file, begin.offset, None),
            TableFilter([f"{database}.*"]),
            log.server.catalog,
            since=Since(),
            learn_gtids=False,
            skip_unreadable=skip_unreadable,
            payloads=Payloads(rules, log.server.catalog),
        )
        log.server.catalog.forget()
        keys = lambda schema, table: _topic(f"keys.{table}", "table_action")  # noqa: E731
        self._encoder = Encoder("db", 1_000_000, keys, tombstones=True, rows=RowMessages(RowTopics(rules)))
        number = 1_500_000_000 + secrets.randbelow(1_000_000_000)
        self._dump = open_dump(log.source, number, log.server.flavor, DumpPosition(begin.file, begin.offset))
        self._changes = self._reader.changes(BinlogStream(self._dump, "the server", SILENCE_SECONDS))

    def close(self) -> None:
        self._dump.close()

    def messages_up_to(self, end: LogPosition) -> dict[str, list[TableAction | None]]:
        """By topic, decoded from their bytes; None is a tombstone."""
        while (at := self._reader.reading) and LogPosition(at.file, at.offset).order < end.order:
            change = next(self._changes)
            if isinstance(change, Rows):
                self._encoder.add_rows(change)
            elif not isinstance(change, Mark):
                self._encoder.add_truncate(change)
        decode = ChangeDecoder().action
        messages, _ = self._encoder.take()
        return {
            topic: [None if value is None else decode(value) for value, *_ in many] for topic, many in messages.items()
        }

    def up_to(self, end: LogPosition) -> dict[str, list[RowChange]]:
        """By table, the row changes; each is held against the TableAction of the same change."""
        found = self.messages_up_to(end)
        rows: dict[str, list[RowChange]] = {}
        for topic, many in found.items():
            if topic.startswith("rows."):
                table = topic.removeprefix("rows.")
                changes = [one for one in many if isinstance(one, RowChange)]
                assert [_key(one) for one in many] == [_key(one) for one in found[f"keys.{table}"]]
                rows[table] = changes
        return rows


def _key(action: TableAction | None) -> object:
    return action and (action.action, action.pk, action.seq, action.committed_at, action.source, action.snapshot)


@contextmanager
def rows_of(log: Log, database: str, *rules: RowsSettings, skip_unreadable: bool = False) -> Iterator[RowReading]:
    made = RowReading(log, database, rules or [RowsSettings(tables=("*.*",))], skip_unreadable=skip_unreadable)
    try:
        yield made
    finally:
        made.close()
