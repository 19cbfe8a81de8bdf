"""
What a server's log gives: read, encoded and decoded in this process, by everything but Kafka.

The records are taken from their bytes, so that whatever is wrong up to `produce` shows.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pymysql
from pydantic import SecretStr

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.connection import DumpPosition, open_dump
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.binlog.stream import BinlogStream
from meepo2_cdc.capture.binlog.transactions import Mark, Position, Rows, Since
from meepo2_cdc.capture.encoder import Encoder, Topic
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.avro import ActionDecoder, Decoder, single_object_header
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.table_filter import TableFilter

LOCK = "meepo2-cdc tests: binlog_row_metadata"
LOCK_SECONDS = 240
SILENCE_SECONDS = 30


class Log:
    """A real server, as a source that is written to and read in turn."""

    def __init__(self, dsn: str) -> None:
        self.source = SourceSettings(dsn=SecretStr(dsn), heartbeat_seconds=1, tls_mode="disabled")
        self.server = SourceServer(self.source)
        self._session = self.connect()

    def close(self) -> None:
        self._session.close()
        self.server.close()

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        address = self.source.address
        return pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=database,
            autocommit=True,
            ssl_disabled=True,
            **({"charset": "utf8mb4"} | options),
        )

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._session.cursor() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall())

    @contextmanager
    def database(self) -> Iterator[str]:
        """A fresh database, gone afterwards."""
        name = f"g{secrets.token_hex(6)}"
        self.ask(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield name
        finally:
            self.ask(f"DROP DATABASE {name}")

    @contextmanager
    def row_metadata(self, wanted: str) -> Iterator[None]:
        """binlog_row_metadata as wanted, "FULL" or "DEFAULT"; by a lock one test run at a time has it."""
        with self.connect() as holder, holder.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, %s)", (LOCK, LOCK_SECONDS))
            assert cursor.fetchone() == (1,), "another test run has the server's binlog_row_metadata"
            cursor.execute("SELECT @@GLOBAL.binlog_row_metadata")
            ((before,),) = cursor.fetchall()
            cursor.execute(f"SET GLOBAL binlog_row_metadata = {wanted}")
            try:
                yield
            finally:
                cursor.execute(f"SET GLOBAL binlog_row_metadata = {before}")

    def end(self) -> LogPosition:
        return self.server.end()[0]


class Read(NamedTuple):
    """A record, by which table's topic it goes."""

    topic: str
    action: TableAction


class Reading:
    """
    Reads the log of one database from `begin`, or from where it ends now; each `up_to` goes on behind the one before.
    """

    def __init__(
        self, log: Log, database: str, *, skip_unreadable: bool = False, begin: LogPosition | None = None
    ) -> None:
        self._log = log
        self._records = Decoder("table_key"), ActionDecoder()
        begin = begin or log.end()
        position = Position(begin.file, begin.offset, None)
        self._reader = ChangeReader(
            position,
            TableFilter([f"{database}.*"]),
            log.server.catalog,
            since=Since(),
            learn_gtids=False,
            skip_unreadable=skip_unreadable,
        )
        log.server.catalog.forget()  # as a capture that was just started
        self._encoder = Encoder("db", 1_000_000, self._open_topic, tombstones=False)
        self._seq = self._encoder.seq
        dump = open_dump(
            log.source,
            1_500_000_000 + secrets.randbelow(1_000_000_000),
            log.server.flavor,
            DumpPosition(begin.file, begin.offset),
        )
        self._dump = dump
        self._changes = self._reader.changes(BinlogStream(dump, "the server", SILENCE_SECONDS))

    def close(self) -> None:
        self._dump.close()

    def up_to(self, end: LogPosition) -> list[Read]:
        """The records of everything before `end`; raises what the reader raises."""
        while not self._reached(end):
            change = next(self._changes)
            if isinstance(change, Rows):
                self._encoder.add_rows(change)
            elif not isinstance(change, Mark):
                self._encoder.add_truncate(change)
        return self._decoded()

    def rows_up_to(self, end: LogPosition) -> Iterator[Rows]:
        """The rows before `end` as the log's path gives them, instead of their records."""
        while not self._reached(end):
            change = next(self._changes)
            if isinstance(change, Rows):
                yield change

    def _reached(self, end: LogPosition) -> bool:
        position = self._reader.reading
        return LogPosition(position.file, position.offset).order >= end.order

    def _decoded(self) -> list[Read]:
        keys, values = self._records
        messages, _ = self._encoder.take()
        found = []
        for topic, many in messages.items():
            for value, key, _, _ in many:
                assert value is not None
                read = Read(topic, values.action(value))
                assert keys.decode(key) == {
                    "schema": read.action.schema,
                    "table": read.action.table,
                    "pk": list(read.action.pk),
                }
                found.append(read)
        found.sort(key=lambda read: read.action.seq)
        numbers = [read.action.seq for read in found]
        assert numbers == list(range(self._seq + 1, self._seq + 1 + len(found))), "seq has a gap"
        self._seq += len(found)
        return found

    @staticmethod
    def _open_topic(schema: str, table: str) -> Topic:
        headers = single_object_header("table_key"), single_object_header("table_action")
        return Topic(f"{schema}.{table}", 1, *headers)


@contextmanager
def reading(
    log: Log, database: str, *, skip_unreadable: bool = False, begin: LogPosition | None = None
) -> Iterator[Reading]:
    made = Reading(log, database, skip_unreadable=skip_unreadable, begin=begin)
    try:
        yield made
    finally:
        made.close()
