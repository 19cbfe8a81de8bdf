"""
A MySQL or MariaDB server as something to capture: checked, positioned, read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from meepo2_cdc.capture.binlog import preflight, start
from meepo2_cdc.capture.binlog.connection import DumpPosition, open_dump
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.binlog.stream import BinlogStream
from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.capture.filter import TableFilter
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition

_SILENT_HEARTBEATS = 4


class BinlogSource:
    """
    The `Source` of the capture service.

    `identity` is that of the server that was last connected to: with GTIDs, a failover changes it.
    """

    def __init__(self, settings: SourceSettings, server_id: int, tables: TableFilter) -> None:
        self._settings = settings
        self._server_id = server_id
        self._tables = tables
        self._server = SourceServer(settings)
        self.catalog = self._server.catalog
        self.address = self._server.address
        self.identity = ""

    @property
    def flavor(self) -> str:
        return self._server.flavor

    @property
    def version(self) -> str:
        return self._server.version

    @property
    def has_gtids(self) -> bool:
        return self._server.has_gtids

    def prepare(self) -> None:
        preflight.require(self._server, self._server_id, self._tables)
        self.identity = self._server.identity

    def resume(self, checkpoint: Checkpoint) -> start.Start:
        return start.resume(self._server, checkpoint)

    def begin(self, text: str) -> start.Start:
        return start.begin(self._server, self._settings, self._server_id, text)

    def end(self) -> LogPosition:
        return self._server.end()[0]

    @contextmanager
    def read(self, position: Position) -> Iterator[BinlogStream]:
        start.verify(self._server, position, self.identity)
        self.identity = self._server.identity
        # an empty set would be taken for "not given"; before the first transaction the file says the same
        gtids = str(position.gtids or "") or None
        where = DumpPosition(position.file, position.offset, gtids)
        dump = open_dump(self._settings, self._server_id, self.flavor, where)
        try:
            yield BinlogStream(dump, self.address, self._settings.heartbeat_seconds * _SILENT_HEARTBEATS)
        finally:
            dump.close()

    def close(self) -> None:
        self._server.close()
