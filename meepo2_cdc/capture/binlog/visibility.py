"""
Whether the source itself shows what it has logged.

A server logs a transaction before its engine commits it, and sends it at once to who reads the log.  With
semi-synchronous replication (rpl_semi_sync_source_wait_point=AFTER_SYNC, MySQL's default) it waits for a replica in
between.  Whoever heard of a row so early and asked for it would get the old one, with nothing to tell of the new one
later; and a server that takes over may never have had it.  So what is published was committed before.

MySQL adds a transaction to gtid_executed behind the engine's commit.  MariaDB's binlog_snapshot_file and
binlog_snapshot_position move under the lock under which its engines commit (sql/log.cc, LOCK_commit_ordered).  MySQL
without GTIDs tells nothing of it, and is not waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pymysql
import structlog

from meepo2_cdc.capture.binlog.connection import connect, identity_of, translated
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.errors import Error, SourceUnavailable
from meepo2_cdc.observe import metrics
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition

log = structlog.get_logger()

_MOST_PATIENCE_SECONDS = 120.0
"""Less than /livez allows a loop that waits for this."""
_STOP_SECONDS = 5.0
_TOLD_AFTER_SECONDS = 1.0
_WAIT_SECONDS = 0.5
_ANSWER_SECONDS = 5
"""A link that fell silent must not hold back what a new connection could tell."""
_LEAST_PAUSE_SECONDS = 0.0005
_MOST_PAUSE_SECONDS = 0.05

Shows = Callable[[], bool]


class Visibility:
    """Has a connection of its own; used by one thread, which is not the one that reads."""

    def __init__(self, source: SourceSettings, patience_seconds: float) -> None:
        self._source = source
        self._patience_seconds = min(patience_seconds, _MOST_PATIENCE_SECONDS)
        self._address = str(source.address)
        self._connection: pymysql.Connection[Any] | None = None
        self._identity = ""
        self._is_lost = False

    def wait(self, checkpoint: Checkpoint, stopping: threading.Event) -> None:
        """
        Returns when all before the checkpoint was committed, and the transaction that it is in.

        Raises Error after `patience_seconds`, when the address leads to another server, or soon when it is told to
        stop: nothing of the batch is published then, and the next start reads it again.
        """
        began, pause, told = time.monotonic(), _LEAST_PAUSE_SECONDS, False
        while not self._shows(checkpoint):
            waited = time.monotonic() - began
            if waited > self._patience_seconds or (stopping.is_set() and waited > _STOP_SECONDS):
                raise Error(
                    f"{self._address} does not show transactions that are in its log since {waited:.0f} s"
                    f" ({_place(checkpoint)}): they wait for a replica, or the server is away",
                    fix="They are not published.  Start the capture again: it reads them again.",
                )
            if waited > _TOLD_AFTER_SECONDS and not told:
                told = True
                log.warning("The source has not committed yet what is in its log", **_place(checkpoint))
            stopping.wait(pause)
            pause = min(2 * pause, _MOST_PAUSE_SECONDS)

    def close(self) -> None:
        if self._connection is not None:
            with suppress(pymysql.err.MySQLError, OSError):
                self._connection.close()
        self._connection = None

    def _shows(self, checkpoint: Checkpoint) -> bool:
        """False also while the server does not answer."""
        try:
            shows = self._ask(checkpoint)
        except SourceUnavailable as error:
            if not self._is_lost:  # who follows the log may be waiting for this answer, and hear of nothing
                self._is_lost = True
                metrics.SOURCE_CONNECTED.set(0)
                log.warning("The connection to the source was lost", why=error.found, **_place(checkpoint))
            return False
        if self._is_lost:
            self._is_lost = False
            metrics.SOURCE_CONNECTED.set(1)
        return shows

    def _ask(self, checkpoint: Checkpoint) -> bool:
        try:
            connection = self._connected(checkpoint.server or "")
            if checkpoint.flavor == "mariadb":
                return _mariadb_shows(connection, checkpoint)
            return _mysql_shows(connection, checkpoint)
        except (pymysql.err.MySQLError, OSError) as error:
            self.close()
            raise translated(error, self._address) from error

    def _connected(self, identity: str) -> pymysql.Connection[Any]:
        if self._connection is not None and self._identity != identity:
            self.close()  # it may lead to the server that was read before
        if self._connection is None:
            self._connection = connect(self._source, _ANSWER_SECONDS)
            self._identity = identity_of(self._connection)
        if self._identity != identity:
            raise Error(
                f"{self._address} leads to server {self._identity} now; what was read is of {identity}",
                fix="Start the capture again: it goes on where the new server has everything.",
            )
        return self._connection


def _mysql_shows(connection: pymysql.Connection[Any], checkpoint: Checkpoint) -> bool:
    gtids = ",".join(filter(None, (checkpoint.gtid_set, checkpoint.gtid)))
    if not gtids:
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", (gtids, _WAIT_SECONDS))
        row = cursor.fetchone()
    return row is not None and row[0] == 0


def _mariadb_shows(connection: pymysql.Connection[Any], checkpoint: Checkpoint) -> bool:
    """Of the transaction that the checkpoint is in, its beginning is known only."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'binlog\\_snapshot\\_%'")
        status = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
    at = LogPosition(status["binlog_snapshot_file"], int(status["binlog_snapshot_position"]))
    before = LogPosition(checkpoint.file, checkpoint.position)
    return at.order > before.order if checkpoint.rows_done else at.order >= before.order


def _place(checkpoint: Checkpoint) -> dict[str, object]:
    return {"file": checkpoint.file, "position": checkpoint.position, "gtid": checkpoint.gtid}
