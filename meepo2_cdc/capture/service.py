"""
The capture service: read, write, commit with the checkpoint.

The order of the steps at the start is the proof that nothing is lost or repeated; it is written out in `_open`.  While
one batch is committed by a thread of its own, the next is read.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import stamina
import structlog

import meepo2_cdc
from meepo2_cdc.capture.binlog import preflight, start
from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.connection import Dump, DumpPosition, open_dump
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.binlog.stream import BinlogStream
from meepo2_cdc.capture.binlog.transactions import IDLE, Mark, Position, Rows, Since
from meepo2_cdc.capture.encoder import Encoder
from meepo2_cdc.capture.filter import TableFilter
from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import SourceUnavailable, UnreadableData
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.observe import metrics
from meepo2_cdc.records import Action
from meepo2_cdc.records.checkpoint import Checkpoint, UndecidedXa
from meepo2_cdc.records.position import LogPosition

log = structlog.get_logger()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SILENT_HEARTBEATS = 4
_FRUITLESS_LIMIT = 6
_LOGGED_CHECKPOINTS_SECONDS = 60


class CaptureService:
    """
    Captures one source until `stop` is called, or, with `once`, up to what was the end of the log at the start.

    `run` raises the errors of meepo2_cdc.errors; after any of them a new process goes on exactly where this one was.
    """

    def __init__(self, settings: Settings, *, once: bool = False) -> None:
        self._settings = settings
        self._once = once
        self._stopping = threading.Event()
        self._tables = TableFilter(settings.tables)
        self._server = SourceServer(settings.source)
        self._server_id = server_id_of(settings)
        self._topics = CaptureTopics(settings, connect(settings.kafka))
        self._writer = TransactionalWriter(
            settings.kafka,
            transactional_id=f"{settings.prefix}.{settings.source.name}",
            checkpoint_topic=self._topics.checkpoint,
            source=settings.source.name,
        )
        self._committer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        self._flight: tuple[Future[None], dict[Action, int], Checkpoint] | None = None
        self._written_by = f"meepo2-cdc {meepo2_cdc.__version__} {socket.gethostname()}:{os.getpid()}"
        self._pending_since: float | None = None
        self._committed_at = self._logged_at = time.monotonic()
        self._fruitless = 0
        self._committed: Position | None = None

    def stop(self) -> None:
        """Ends `run` soon: what was read is committed first.  May be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        try:
            self._open()
            end = self._server.end()[0] if self._once else None
            if end is None or not self._reached(end):
                self._read(end)
            self._commit_all()
            log.info("Capture ended", seq=self._encoder.seq, **self._where())
        finally:
            self._committer.shutdown(cancel_futures=True)
            self._writer.close()
            self._server.close()

    def _open(self) -> None:
        """
        1. the source is fit to be read; 2. `init_transactions` ends the predecessor's transaction and fences it;
        3. only then the checkpoint is read; 4. the source still has what follows it, or, for a first start, the
        position is fixed by a checkpoint before anything is read.
        """
        preflight.require(self._server, self._server_id, self._tables)
        self._topics.ensure_checkpoint_topic()
        checkpoint = self._writer.open()
        self._identity, self._flavor = self._server.identity, self._server.flavor
        if checkpoint is None:
            self._topics.refuse_existing_records()
            begin = start.begin(self._server, self._settings.source, self._server_id, self._settings.capture.start)
            seq = time.time_ns() // 1_000_000 * 1000
        else:
            begin, seq = start.resume(self._server, checkpoint), checkpoint.seq
            self._refuse_other_tables(checkpoint)
        self._make_reader(begin, seq)
        if checkpoint is None and begin.since == Since():
            self._commit_all()
        log.info(
            "Capture started", source=self._settings.source.name, server=self._server.address,
            version=self._server.version, seq=seq, first_start=checkpoint is None, **self._where(),
        )  # fmt: skip

    def _make_reader(self, begin: start.Start, seq: int) -> None:
        self._reader = ChangeReader(
            begin.position,
            self._tables,
            self._server.catalog,
            since=begin.since,
            learn_gtids=self._server.has_gtids,
            skip_unreadable=self._settings.capture.on_unreadable == "skip",
        )
        self._encoder = Encoder(
            self._settings.source.name,
            seq,
            self._topics.open,
            tombstones="compact" in self._settings.topics.cleanup_policy,
        )

    def _refuse_other_tables(self, checkpoint: Checkpoint) -> None:
        if checkpoint.rows_done and checkpoint.tables != self._tables.globs:
            raise UnreadableData(
                f"the checkpoint lies behind row {checkpoint.rows_done} of a transaction, counted with"
                f" tables = {list(checkpoint.tables)}, and tables is now {list(self._tables.globs)}",
                fix="Start once with the old tables, e.g. with --once; then change them.",
            )

    # -- reading

    def _read(self, end: LogPosition | None) -> None:
        """Follows the log until stopped; a lost connection is made anew, by us and from our own position."""
        dump: Dump | None = self._connect()
        while dump is not None:
            try:
                self._follow(dump, end)
                return
            except SourceUnavailable as error:
                self._note_loss(error)
            except UnreadableData:
                self._commit_all()  # all before it is published, and a restart comes straight back to it
                raise
            finally:
                dump.close()
            dump = self._reconnect()

    def _connect(self) -> Dump:
        position = self._reader.reading
        start.verify(self._server, position, self._identity)
        self._identity = self._server.identity  # with GTIDs it may be another server now
        gtids = str(position.gtids or "")
        # an empty set would be taken for "not given"; before the first transaction the file says the same
        where = DumpPosition(position.file, position.offset, gtids or None)
        return open_dump(self._settings.source, self._server_id, self._flavor, where)

    def _reconnect(self) -> Dump | None:
        """None when the capture was stopped meanwhile."""
        attempts = stamina.retry_context(
            on=SourceUnavailable,
            attempts=None,
            timeout=self._settings.capture.reconnect_seconds,
            wait_initial=0.1,
            wait_max=2.0,
        )
        for attempt in attempts:
            with attempt:
                return None if self._stopping.is_set() else self._connect()
        return None

    def _note_loss(self, error: SourceUnavailable) -> None:
        """A server that takes the connection and drops it at once, again and again, is given up."""
        self._commit_all()
        metrics.RECONNECTS.inc()
        log.warning("The connection to the source was lost", why=error.found, **self._where())
        self._fruitless += 1
        if self._fruitless > _FRUITLESS_LIMIT:
            raise error
        self._stopping.wait(0.1 * 2**self._fruitless if self._fruitless > 1 else 0)

    def _follow(self, dump: Dump, end: LogPosition | None) -> None:
        settings = self._settings
        stream = BinlogStream(dump, self._server.address, settings.source.heartbeat_seconds * _SILENT_HEARTBEATS)
        encoder, stopped = self._encoder, self._stopping.is_set
        most_rows, most_bytes = settings.capture.commit_rows, settings.capture.commit_bytes
        for change in self._reader.changes(stream):
            if isinstance(change, Mark):
                self._on_mark(change)
                if end is not None and self._reached(end):
                    return
            else:
                if self._pending_since is None:
                    self._pending_since = time.monotonic()
                    self._fruitless = 0
                if isinstance(change, Rows):
                    encoder.add_rows(change)
                else:
                    encoder.add_truncate(change)
                if encoder.rows >= most_rows or encoder.bytes >= most_bytes:
                    self._commit()
            if stopped():
                return

    def _on_mark(self, mark: Mark) -> None:
        """Commits when nothing is waiting, or when the interval is over."""
        if mark is IDLE and self._flight is not None and self._flight[0].done():
            self._settle()
        if self._pending_since is not None:
            waited = time.monotonic() - self._pending_since
            if mark is IDLE or waited * 1000 >= self._settings.capture.commit_interval_ms:
                self._commit()
        elif time.monotonic() - self._committed_at >= self._settings.capture.idle_checkpoint_seconds:
            self._committed_at = time.monotonic()
            if self._reader.position != self._committed:
                self._commit()

    def _reached(self, end: LogPosition) -> bool:
        position = self._reader.reading
        at_boundary = not position.rows_done
        return at_boundary and bool(position.file) and LogPosition(position.file, position.offset).order >= end.order

    # -- writing

    def _commit_all(self) -> None:
        if self._pending_since is not None or self._reader.position != self._committed:
            self._commit()
        self._settle()

    def _commit(self) -> None:
        """Hands the batch to the committing thread, behind the one before."""
        self._settle()
        messages, actions = self._encoder.take()
        self._committed = self._reader.position
        checkpoint = self._checkpoint(self._committed)
        self._flight = self._committer.submit(self._writer.write, messages, checkpoint), actions, checkpoint
        self._pending_since = None
        self._committed_at = time.monotonic()

    def _settle(self) -> None:
        """Waits for the batch under way; raises what its commit raised."""
        if self._flight is None:
            return
        future, actions, checkpoint = self._flight
        self._flight = None
        future.result()
        for action, count in actions.items():
            metrics.RECORDS.labels(action.value).inc(count)
        metrics.SEQ.set(checkpoint.seq)
        if checkpoint.committed_at is not None:
            metrics.COMMITTED_AT.set(checkpoint.committed_at.timestamp())
        if time.monotonic() - self._logged_at > _LOGGED_CHECKPOINTS_SECONDS:
            self._logged_at = time.monotonic()
            log.info("Checkpoint committed", seq=checkpoint.seq, **self._where())

    def _checkpoint(self, position: Position) -> Checkpoint:
        committed_us = self._reader.committed_us
        return Checkpoint(
            source=self._settings.source.name,
            flavor=self._flavor,
            server=self._identity,
            gtid_set=None if position.gtids is None else str(position.gtids),
            file=position.file,
            position=position.offset,
            gtid=position.gtid,
            rows_done=position.rows_done,
            undecided=_undecided(position),
            seq=self._encoder.seq,
            tables=self._tables.globs,
            committed_at=None if committed_us is None else _EPOCH + timedelta(microseconds=committed_us),
            written_by=self._written_by,
            written_at=datetime.now(UTC),
        )

    def _where(self) -> dict[str, object]:
        position = self._reader.position
        return {"file": position.file, "position": position.offset, "gtid_set": str(position.gtids or "")}


def _undecided(position: Position) -> UndecidedXa | None:
    found = position.undecided
    if found is None:
        return None
    return UndecidedXa(found.file, found.offset, None if found.gtids is None else str(found.gtids))


def server_id_of(settings: Settings) -> int:
    """The replica number: as set, else the same one always for this prefix and source, above the usual ones."""
    if settings.source.server_id is not None:
        return settings.source.server_id
    name = f"{settings.prefix}.{settings.source.name}"
    return 1_000_000_000 + zlib.crc32(name.encode()) % 3_000_000_000
