"""
Chunks of existing keys, read by a thread of its own while the log is followed.

Takes no lock, writes nothing: short transactions that read.  Each belongs to a `TableRead`, and goes on behind the one
before; what it must have seen, and where in the stream it belongs, watermarks.py says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR
from typing import Any, NamedTuple

import pymysql

from meepo2_cdc.capture.binlog.charsets import Charsets
from meepo2_cdc.capture.binlog.connection import connect, translated, variable
from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.capture.snapshot import keyed_table, watermarks
from meepo2_cdc.capture.snapshot.keyed_table import KeyedTable, Refused
from meepo2_cdc.capture.snapshot.results import rows_of, single_values
from meepo2_cdc.capture.snapshot.watermarks import Watermark
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import Error, SourceUnavailable, UnreadableData
from meepo2_cdc.records.snapshot import KeyValues, TableName

_LOCK_WAIT_SECONDS = 5
"""Behind an ALTER TABLE that itself waits for a lock, queries would wait too, and all others behind them."""
_QUERY_SECONDS = 600
_SESSION = (
    "SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00', character_set_results = NULL,"
    f" lock_wait_timeout = {_LOCK_WAIT_SECONDS}"
)


@dataclass(slots=True)
class TableRead:
    """
    The reading of one table, from `after` on; only the thread changes it once chunks of it were asked for.

    `key` is by which columns `after` and `until` were taken, empty if they were not.  `abandoned` may be set by
    anybody: its chunks are wanted no more.
    """

    name: TableName
    where: str | None
    after: KeyValues | None
    until: KeyValues | None
    key: str
    table: KeyedTable | None = None
    rows_expected: int | None = None
    is_over: bool = False
    restarted: bool = False
    abandoned: bool = False


class Chunk(NamedTuple):
    """
    Keys as records have them.  `after` is that of the last row, None where there was none; `is_last`: no rows follow.

    `restarted`: the table's key is another than before, so this is its first chunk once more.
    """

    keys: list[bytes]
    after: KeyValues | None
    until: KeyValues | None
    key: str
    rows_expected: int | None
    restarted: bool
    is_last: bool
    watermark: Watermark
    identity: str
    read_at_us: int
    seconds: float


class Changed(Error):
    """The table was altered while it was read; it is read anew."""


class ChunkReader:
    """
    Reads chunks; used by one thread, but for `close`.

    `identity` of the chunks is that of the server that was asked.
    """

    def __init__(self, source: SourceSettings, flavor: Callable[[], str]) -> None:
        self._source = source
        self._flavor = flavor
        self._connection: pymysql.Connection[Any] | None = None
        self._identity = ""
        self._charsets = Charsets(self._ask)
        self._closed = False

    def read(self, table: TableRead, limit: int, position: Position, identity: str) -> Chunk | None:
        """
        The next chunk, of the server of `identity`, whose queries see all before `position`; None when there is none,
        or it is wanted no more.

        Raises Gone and Refused for the table, Changed and SourceUnavailable where it is to be asked for once more.
        """
        if table.is_over or table.abandoned:
            return None
        try:
            self._connect_to(identity)
            return self._read(table, limit, position)
        except BaseException as error:
            table.abandoned = True
            self._drop_connection()
            if isinstance(error, (pymysql.err.MySQLError, OSError)):
                raise self._meaning(error, table) from error
            if isinstance(error, UnreadableData):
                raise Refused(f"{table.name} cannot be read: {error.found}", fix=error.fix) from error
            raise

    def _read(self, read: TableRead, limit: int, position: Position) -> Chunk:
        began = time.monotonic()
        connection = self._connected()
        if read.table is None:
            read.table = keyed_table.keyed_table(read.name, self._ask, self._charsets.decoder)
        table = read.table
        restarted = self._check_key(read, table)
        seen = watermarks.begin(self._ask, self._flavor(), position)
        if read.until is None:
            read.until = self._last_key(table)
            read.rows_expected = keyed_table.expected_rows(read.name, self._ask)
        limit = min(limit, table.largest_chunk or limit)
        keys, after = self._keys(connection, table, read, limit)
        if keyed_table.created_as(read.name, self._ask) != table.created:
            raise Changed(f"{read.name} was altered while it was read")
        read_at_us = time.time_ns() // 1000
        watermark = watermarks.end(self._ask, seen)
        read.after = after or read.after
        read.is_over = len(keys) < limit
        return Chunk(
            keys, after, read.until, table.key, read.rows_expected, restarted, read.is_over, watermark,
            self._identity, read_at_us, time.monotonic() - began,
        )  # fmt: skip

    @staticmethod
    def _check_key(read: TableRead, table: KeyedTable) -> bool:
        """Whether what was read so far counts no more, since the key was another."""
        if read.key == table.key:
            return False
        restarted = bool(read.key)
        read.key, read.after, read.until = table.key, None, None
        return restarted

    def _last_key(self, table: KeyedTable) -> KeyValues | None:
        connection = self._connected()
        rows = rows_of(connection, table.select_last(), table.columns)
        return table.place_of(rows[0]) if rows else None

    def _keys(
        self, connection: pymysql.Connection[Any], table: KeyedTable, read: TableRead, limit: int
    ) -> tuple[list[bytes], KeyValues | None]:
        if read.until is None:
            return [], None
        query = table.select(read.after, read.until, read.where, limit)
        if table.columns == 1:
            values = single_values(connection, query)
            return table.keys_of_singles(values), (values[-1],) if values else None
        rows = rows_of(connection, query, table.columns)
        return table.keys_of(rows), table.place_of(rows[-1]) if rows else None

    # -- the connection

    def _connect_to(self, identity: str) -> None:
        """After a failover, the connection that is there may still lead to the server before."""
        if self._connection is not None and self._identity != identity:
            self._drop_connection()
        self._connected()
        if self._identity != identity:
            raise SourceUnavailable(f"{self._source.address} leads to server {self._identity}, and {identity} is read")

    def _connected(self) -> pymysql.Connection[Any]:
        if self._connection is None:
            if self._closed:
                raise SourceUnavailable("the snapshot was stopped")
            self._connection = connection = connect(self._source)
            connection._read_timeout = _QUERY_SECONDS  # type: ignore[attr-defined]  # the stubs know less
            self._ask("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._ask(_SESSION)
            self._identity = variable(connection, "server_uuid") or variable(connection, "server_id") or ""
        return self._connection

    def _ask(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self._connected().cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall())

    def _meaning(self, error: Exception, read: TableRead) -> Exception:
        known = keyed_table.meaning(error, read.name)
        if known is not error:
            return known
        general = translated(error, str(self._source.address))
        if isinstance(general, SourceUnavailable) or _code(error) in _AGAIN:
            return SourceUnavailable(general.found)
        asked = f", asked with the condition {read.where!r}" if read.where else ""
        return Refused(f"{read.name} cannot be read{asked}: {general.found}")

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection._force_close()  # type: ignore[attr-defined]  # the stubs know the public names only

    def close(self) -> None:
        """Ends also a query that is under way; from any thread."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            with suppress(OSError, AttributeError):
                connection._sock.shutdown(SHUT_RDWR)  # type: ignore[attr-defined]  # as above


_AGAIN = (1412, 1213, 1205)
"""ER_TABLE_DEF_CHANGED, a deadlock, a lock that was waited for too long."""


def _code(error: Exception) -> object:
    return error.args[0] if error.args else None
