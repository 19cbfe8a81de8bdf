"""
The capture service: read, write, commit with the checkpoint.

The order of the steps at the start is the proof that nothing is lost or repeated; it is written out in `_open`.  Knows
its source and its writer by their ports only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

import stamina
import structlog

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.full_rows import Payloads
from meepo2_cdc.capture.binlog.start import Start
from meepo2_cdc.capture.binlog.stream import BUSY_TICK_MS, TICK_MS, EventStream
from meepo2_cdc.capture.binlog.tables import Catalog
from meepo2_cdc.capture.binlog.transactions import BEGAN, ENDED, IDLE, Mark, Position, Rows, Since
from meepo2_cdc.capture.checkpointing import checkpoint_at, first_seq
from meepo2_cdc.capture.committer import Committer, Writer
from meepo2_cdc.capture.encoder import Encoder, Topic
from meepo2_cdc.capture.progress import Progress
from meepo2_cdc.capture.row_messages import RowMessages
from meepo2_cdc.capture.snapshot.kept import KeptSnapshots
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import PositionLost, SourceUnavailable, UnreadableData
from meepo2_cdc.observe import metrics
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.records.position import LogPosition
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

_FRUITLESS_LIMIT = 6
_LONG_LIFE_SECONDS = 60
_MISSED_HEARTBEATS = 2
SNAPSHOT = "snapshot"
"""The start that is latest, with the existing rows of all tables."""


class Source(Protocol):
    """
    What is captured.  Raises ConfigError, PositionLost and SourceUnavailable, each for what it says.

    `identity` tells whose files and positions they are.
    """

    address: str
    identity: str

    @property
    def catalog(self) -> Catalog: ...

    @property
    def flavor(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def has_gtids(self) -> bool: ...

    def prepare(self) -> None:
        """Fails here when the source cannot be captured as it is."""

    def resume(self, checkpoint: Checkpoint) -> Start: ...

    def begin(self, text: str) -> Start:
        """Where to begin without a checkpoint: earliest, latest, or a position as text."""

    def end(self) -> LogPosition: ...

    def await_commit(self, checkpoint: Checkpoint, stopping: threading.Event) -> None:
        """
        Returns when the source itself shows what its log has up to the checkpoint; called by the committer's thread.

        Raises Error when it does not for long; nothing of it may be published then.
        """

    def read(self, position: Position) -> AbstractContextManager[EventStream]:
        """The log from a position on; fails when the source does not have it any more."""

    def close(self) -> None: ...


class Topics(Protocol):
    """The topics that the capture writes to."""

    def ensure_checkpoint_topic(self) -> None: ...

    def refuse_existing_records(self) -> None:
        """Raises PositionLost when there are records of the source, although there is no checkpoint."""

    def open(self, schema: str, table: str) -> Topic: ...

    def name(self, schema: str, table: str) -> Topic:
        """As `open`, for a topic that need not exist before `create`."""

    def create(self) -> None: ...


class Stopped(Exception):
    """The service was stopped before it began."""


class CaptureService:
    """
    Captures one source until `stop` is called, or, with `once`, up to what was the end of the log at the start.

    `run` raises the errors of meepo2_cdc.errors; after any of them a new process goes on exactly where this one was.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        writer: Writer,
        topics: Topics,
        *,
        once: bool = False,
        executor: Executor | None = None,
        snapshots: KeptSnapshots | None = None,
        rows: RowMessages | None = None,
        clock: Callable[[], float] = time.monotonic,
        advise: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._advise = advise
        self._source = source
        self._writer = writer
        self._topics = topics
        self._once = once
        self._row_messages = rows
        self._snapshots = KeptSnapshots() if snapshots is None else snapshots
        self._clock = clock
        self.stopping = threading.Event()
        self._tables = TableFilter(settings.tables)
        self._committer = Committer(
            writer,
            executor or ThreadPoolExecutor(1, thread_name_prefix="commit"),
            lambda checkpoint: source.await_commit(checkpoint, self.stopping),
        )
        self.progress = Progress(self._committer, settings.source.heartbeat_seconds * _MISSED_HEARTBEATS, clock)
        self._pending_since: float | None = None
        self._committed_at = clock()
        self._committed: Position | None = None
        self._began = True
        self._snapshots_at = 0.0
        self._fruitless = 0
        self._connected_at = clock()

    def stop(self) -> None:
        """Ends `run` soon: what was read is committed first.  May be called from a signal handler."""
        self.stopping.set()

    def refuse_successor(self) -> None:
        """Raises Fenced when another instance has gone on behind what this one published."""
        self._writer.refuse_successor()

    def run(self) -> None:
        with ExitStack() as stack:
            for part in (self._source, self._writer, self._committer, self._snapshots):
                stack.callback(part.close)
            try:
                self._open()
            except Stopped:
                return
            end = self._source.end() if self._once else None
            if not self._is_over(end):
                self._read(end)
            self.progress.enter("ended")
            self._commit_all()
            log.info("Capture ended", seq=self._encoder.seq, **self._where())

    def _open(self) -> None:
        """
        1. the source is fit to be read; 2. the predecessor's transaction is ended, and the predecessor fenced;
        3. only then the checkpoint is read; 4. the source still has what follows it, or, for a first start, the
        position is fixed by a checkpoint before anything is read.
        """
        self._source.prepare()
        self._topics.ensure_checkpoint_topic()
        if self.stopping.is_set():  # whoever captures now must not be fenced any more
            raise Stopped
        self._advise()
        checkpoint = self._committer.last = self._writer.open()
        if checkpoint is None:
            self._refuse_existing_records()
            start = self._settings.capture.start
            begin, seq = self._source.begin("latest" if start == SNAPSHOT else start), first_seq()
        else:
            begin, seq = self._source.resume(checkpoint), checkpoint.seq
            self._refuse_other_tables(checkpoint)
        self._make_reader(begin, seq)
        # until what was asked for begins, a checkpoint would make a restart publish what is before it
        self._began = begin.since == Since() or begin.since.published is not None
        self._open_snapshots(checkpoint)
        if checkpoint is None:
            self._commit_all()
        log.info(
            "Capture started", source=self._settings.source.name, server=self._source.address,
            version=self._source.version, seq=seq, first_start=checkpoint is None, **self._where(),
        )  # fmt: skip

    def _open_snapshots(self, checkpoint: Checkpoint | None) -> None:
        self._reader.on_definition = self._snapshots.saw_definition
        if checkpoint is not None:
            self._snapshots.restore(checkpoint.snapshots, checkpoint.control_offset)
            return
        self._snapshots.restore((), None)
        if self._settings.capture.start == SNAPSHOT:
            self._snapshots.begin_with_all()

    def _refuse_existing_records(self) -> None:
        """Records without a checkpoint: but those of one that took over meanwhile have theirs."""
        try:
            self._topics.refuse_existing_records()
        except PositionLost:
            self._writer.refuse_successor()
            raise

    def _make_reader(self, begin: Start, seq: int) -> None:
        settings = self._settings
        self._reader = ChangeReader(
            begin.position,
            self._tables,
            self._source.catalog,
            since=begin.since,
            learn_gtids=self._source.has_gtids,
            skip_unreadable=settings.capture.on_unreadable == "skip",
            payloads=Payloads(settings.capture.rows, self._source.catalog) if settings.capture.rows else None,
        )
        tombstones = "compact" in settings.topics.cleanup_policy
        topics = self._topics
        self._encoder = Encoder(
            settings.source.name,
            seq,
            topics.open,
            tombstones=tombstones,
            name_topic=topics.name,
            rows=self._row_messages,
        )
        self.progress.reader, self.progress.encoder = self._reader, self._encoder

    def _refuse_other_tables(self, checkpoint: Checkpoint) -> None:
        if checkpoint.rows_done and checkpoint.tables != self._tables.globs:
            raise UnreadableData(
                f"the checkpoint lies behind row {checkpoint.rows_done} of a transaction, counted with"
                f" tables = {list(checkpoint.tables)}, and tables is now {list(self._tables.globs)}",
                fix="Start once with the old tables, e.g. with --once; then change them.",
            )

    # -- reading

    def _is_over(self, end: LogPosition | None) -> bool:
        return end is not None and self._reader.has_reached(end) and not self._snapshots.busy

    def _read(self, end: LogPosition | None) -> None:
        """Follows the log until stopped; a lost connection is made anew, by us and from our own position."""
        with ExitStack() as connection:
            stream: EventStream | None = connection.enter_context(self._source.read(self._reader.reading))
            self.progress.enter("running")
            while stream is not None:
                try:
                    self.progress.follow(stream)
                    metrics.SOURCE_CONNECTED.set(1)
                    self._follow(stream, end)
                    return
                except SourceUnavailable as error:
                    self._note_loss(error)
                except UnreadableData:
                    self._commit_all()  # all before it is published, and a restart comes straight back to it
                    raise
                connection.close()
                stream = self._reconnect(connection)

    def _reconnect(self, connection: ExitStack) -> EventStream | None:
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
                self.progress.moved()
                if self.stopping.is_set():
                    return None
                return connection.enter_context(self._source.read(self._reader.reading))
        return None

    def _note_loss(self, error: SourceUnavailable) -> None:
        """A server that takes the connection and drops it at once, again and again, is given up."""
        if self._clock() - self._connected_at > _LONG_LIFE_SECONDS:
            self._fruitless = 0
        self.progress.follow(None)
        self._snapshots.lost()
        metrics.SOURCE_CONNECTED.set(0)
        metrics.RECONNECTS.inc()
        log.warning("The connection to the source was lost", why=error.found, **self._where())
        self._commit_all()
        self._fruitless += 1
        if self._fruitless > _FRUITLESS_LIMIT:
            raise error
        self.stopping.wait(0.1 * 2**self._fruitless if self._fruitless > 1 else 0)

    def _follow(self, stream: EventStream, end: LogPosition | None) -> None:
        self._connected_at = self._clock()
        encoder, snapshots, stopped = self._encoder, self._snapshots, self.stopping.is_set
        limits = self._settings.capture
        for change in self._reader.changes(stream):
            if isinstance(change, Mark):
                if change is IDLE or snapshots.ready or self._snapshots_at <= self.progress.moved_at:
                    stream.tick_ms = BUSY_TICK_MS if self._advance_snapshots() else TICK_MS
                self._on_mark(change)
                if end is not None and self._is_over(end):
                    return
            else:
                if self._pending_since is None:
                    self._pending_since = self._clock()
                    self._fruitless = 0
                if isinstance(change, Rows):
                    encoder.add_rows(change)
                    if snapshots.watched is not None:
                        snapshots.saw(change)
                else:
                    encoder.add_truncate(change)
                    snapshots.saw_truncate(change)
                if encoder.rows >= limits.commit_rows or encoder.bytes >= limits.commit_bytes:
                    self._commit()
            if stopped():
                return

    def _on_mark(self, mark: Mark) -> None:
        """Commits when nothing is waiting, or when the interval is over."""
        self.progress.moved_at = now = self._clock()
        if mark is ENDED:
            self.progress.transactions += 1
        elif mark is IDLE:
            self._committer.settle_if_done()
        elif mark is BEGAN:
            self._began = True
        if self._pending_since is not None:
            waited = now - self._pending_since
            if mark is IDLE or waited * 1000 >= self._settings.capture.commit_interval_ms:
                self._commit()
        elif now - self._committed_at >= self._settings.capture.idle_checkpoint_seconds:
            self._committed_at = now
            if self._is_ahead():
                self._commit()
        elif mark is IDLE:
            self.progress.rest()

    def _advance_snapshots(self) -> bool:
        """
        Between two transactions: the chunks that are due here, and with them, in the same checkpoint, that they were.

        Whether more are under way.
        """
        snapshots, most, now = self._snapshots, self._settings.capture.commit_rows, self._clock()
        self._snapshots_at = now + (BUSY_TICK_MS if snapshots.watched is not None else TICK_MS) / 1000
        snapshots.ready = False
        at = self._reader.boundary
        if at is None or not self._began:
            return False
        while (rows := snapshots.due(at)) is not None:
            if self._encoder.rows + len(rows.keys) > most:
                self._commit()
            if rows.keys:
                self._encoder.add_rows(rows)
            snapshots.given_out()
        under_way = snapshots.go_on(at)
        if snapshots.changed and self._pending_since is None:
            self._pending_since = now
        return under_way

    # -- writing

    def _commit_all(self) -> None:
        if self._pending_since is not None or self._is_ahead():
            self._commit()
        self._committer.settle()

    def _is_ahead(self) -> bool:
        """Whether a checkpoint would say something new."""
        return self._began and (self._reader.position != self._committed or self._snapshots.changed)

    def _commit(self) -> None:
        self._topics.create()
        messages, counts = self._encoder.take()
        self._committed = self._reader.position
        checkpoint = checkpoint_at(
            self._committed,
            self._source,
            name=self._settings.source.name,
            seq=self._encoder.seq,
            tables=self._tables.globs,
            committed_us=self._reader.committed_us,
            snapshots=self._snapshots.state,
            control_offset=self._snapshots.control_offset,
        )
        self._snapshots.changed = False
        now = self._clock()
        self._committer.submit(
            messages, counts, checkpoint, 0.0 if self._pending_since is None else now - self._pending_since
        )
        self._pending_since = None
        self._committed_at = self._clock()
        self.progress.count()

    def _where(self) -> dict[str, object]:
        position = self._reader.position
        return {"file": position.file, "position": position.offset, "gtid_set": str(position.gtids or "")}
