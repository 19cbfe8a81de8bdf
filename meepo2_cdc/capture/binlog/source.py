"""
A MySQL or MariaDB server as something to capture: checked, positioned, read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from meepo2_cdc.capture.binlog import preflight, start
from meepo2_cdc.capture.binlog.connection import DumpLink, DumpPosition
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.binlog.stream import BinlogStream
from meepo2_cdc.capture.binlog.transactions import Position
from meepo2_cdc.capture.binlog.visibility import Visibility
from meepo2_cdc.checks import Finding
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import SourceUnavailable
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.table_filter import TableFilter

_SILENT_HEARTBEATS = 4


class BinlogSource:
    """
    The `Source` of the capture service.

    `identity` is that of the server that was last connected to: with GTIDs, a failover changes it.
    """

    def __init__(
        self,
        settings: SourceSettings,
        server_id: int,
        tables: TableFilter,
        *,
        whole_rows: bool = False,
        patience_seconds: float = 300.0,
        downtime_seconds: float = preflight.DAY_SECONDS,
    ) -> None:
        self._settings = settings
        self._server_id = server_id
        self._tables = tables
        self._whole_rows = whole_rows
        self._downtime_seconds = downtime_seconds
        self.findings: list[Finding] = []
        self._server = SourceServer(settings)
        self._visibility = Visibility(settings, patience_seconds)
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
        self.findings = preflight.require(
            self._server, self._server_id, self._tables, self._whole_rows, self._downtime_seconds
        )
        self.identity = self._server.identity

    def resume(self, checkpoint: Checkpoint) -> start.Start:
        found = start.resume(self._server, checkpoint)
        self.identity = checkpoint.server or ""  # it is whose files the position is in
        return found

    def begin(self, text: str) -> start.Start:
        found = start.begin(self._server, self._settings, self._server_id, text)
        self._require(self._server.identity, self.identity)
        return found

    def end(self) -> LogPosition:
        return self._server.end()[0]

    def await_commit(self, checkpoint: Checkpoint, stopping: threading.Event) -> None:
        self._visibility.wait(checkpoint, stopping)

    @contextmanager
    def read(self, position: Position) -> Iterator[BinlogStream]:
        link = DumpLink(self._settings)
        with closing(link):
            # the dump's server is asked, and not one that the address led to a moment before or after
            start.verify(self._server, position, self.identity)
            self._require(self._server.identity, link.identity)
            self.identity = link.identity
            gtids = None if position.gtids is None else str(position.gtids)
            dump = link.begin(self._server_id, self.flavor, DumpPosition(position.file, position.offset, gtids))
            yield BinlogStream(dump, self.address, self._settings.heartbeat_seconds * _SILENT_HEARTBEATS)

    def _require(self, found: str, expected: str) -> None:
        if found != expected:
            self._server.close()  # the questions may still go to the server that was replaced
            raise SourceUnavailable(f"{self.address} leads to server {found} now; a moment ago it was {expected}")

    def close(self) -> None:
        self._server.close()
        self._visibility.close()
