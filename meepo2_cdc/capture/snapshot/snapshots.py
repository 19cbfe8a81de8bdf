"""
Existing rows between the changes: which chunk is due at which place of the stream, and what was heard meanwhile.

Runs in the thread that follows the log, and only between two transactions gives anything out.  A chunk is asked for
there, read by another thread, and due as soon as the stream has passed all that it may have seen; of the keys that the
stream gave out since it was asked for, it says nothing.  watermarks.py says why that is sound.

What came of a chunk and its place in the table are in the same checkpoint, so a chunk is given out once.  Whatever is
doubtful is read again: after a lost connection, a changed definition, another server, all that was asked for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, cast

import structlog

from meepo2_cdc.capture.binlog.definitions import may_name
from meepo2_cdc.capture.binlog.tables import TableLayout
from meepo2_cdc.capture.binlog.transactions import Position, Rows, Transaction, Truncate
from meepo2_cdc.capture.snapshot import progress
from meepo2_cdc.capture.snapshot.chunks import Changed, Chunk, TableRead
from meepo2_cdc.capture.snapshot.inbox import NO_GTIDS, Inbox
from meepo2_cdc.capture.snapshot.kept import KeptSnapshots
from meepo2_cdc.capture.snapshot.keyed_table import Gone, Refused
from meepo2_cdc.capture.snapshot.requests import Start
from meepo2_cdc.errors import ConfigError, SourceUnavailable
from meepo2_cdc.observe import metrics
from meepo2_cdc.records import Action
from meepo2_cdc.records.snapshot import Outcome, Snapshot

log = structlog.get_logger()

_AHEAD = 2
"""Chunks that are asked for at once: one is read while the one before is given out."""
_SEEN_LIMIT = 200_000
_PAUSE_SECONDS = 1.0


class Chunks(Protocol):
    """Where chunks come from; called by the executor's one thread."""

    def read(self, table: TableRead, limit: int, position: Position, identity: str) -> Chunk | None: ...

    def close(self) -> None:
        """Ends what is under way, soon; from any thread."""


class Server(Protocol):
    """The source, as far as a snapshot must know it.  `identity` is that of the server whose log is read now."""

    identity: str

    @property
    def flavor(self) -> str: ...

    @property
    def has_gtids(self) -> bool: ...


@dataclass(slots=True)
class _Flight:
    """A chunk that was asked for, and the keys that the stream has given out since."""

    chunk: Future[Chunk | None]
    read: TableRead
    seen: set[bytes] = field(default_factory=set)


class Snapshots(KeptSnapshots):
    """`chunks` are read by the one thread of `executor`; at most `most_rows` come at once."""

    def __init__(
        self,
        server: Server,
        chunks: Chunks,
        executor: Executor,
        inbox: Inbox,
        *,
        most_rows: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self._server = server
        self._chunks = chunks
        self._executor = executor
        self._inbox = inbox
        self._most_rows = most_rows
        self._clock = clock
        self._now = now
        self._read: TableRead | None = None
        self._layout = TableLayout("", "", (), ())
        self._flights: deque[_Flight] = deque()
        self._due: Chunk | None = None
        self._not_before = 0.0

    def restore(self, state: tuple[Snapshot, ...], control_offset: int | None) -> None:
        super().restore(state, control_offset)
        self._inbox.open(control_offset)

    def begin_with_all(self) -> None:
        if self._server.flavor == "mysql" and not self._server.has_gtids:
            raise ConfigError(f"there can be no snapshot: {NO_GTIDS}")
        tables = tuple(self._inbox.list_tables())
        if tables:
            self.state = progress.heed(self.state, Start(tables), self._now())
            self.changed = True

    @property
    def busy(self) -> bool:
        return progress.active(self.state) is not None or self._inbox.has_some()

    # -- what the stream gives out

    def saw(self, rows: Rows) -> None:
        if (rows.layout.schema, rows.layout.table) != self.watched:
            return
        for flight in self._flights:
            flight.seen.update(rows.keys)
            if len(flight.seen) > _SEEN_LIMIT and not self._could_forget(flight):
                self._discard("too-many-changes")
                return

    @staticmethod
    def _could_forget(flight: _Flight) -> bool:
        """Of a chunk that is there, only its own keys matter."""
        if not flight.chunk.done() or flight.chunk.exception() is not None:
            return False
        chunk = flight.chunk.result()
        flight.seen.intersection_update(chunk.keys if chunk is not None else ())
        return True

    def saw_truncate(self, truncate: Truncate) -> None:
        if (truncate.schema, truncate.table) == self.watched:
            self._discard("truncated")

    def saw_definition(self, schema: str, statement: str) -> None:
        if self.watched is not None and may_name(statement.lower(), schema, self.watched):
            self._discard("altered")

    def lost(self) -> None:
        self._discard("reconnected")

    def _discard(self, why: str) -> None:
        """All that was asked for is asked for again, behind the last chunk that was given out."""
        if self._flights:
            metrics.SNAPSHOT_CHUNKS_DISCARDED.labels(why).inc(len(self._flights))
        self._stop_reading()

    def _stop_reading(self) -> None:
        for flight in self._flights:
            flight.read.abandoned = True
            flight.chunk.cancel()
        self._flights.clear()
        self._read = self._due = self.watched = None

    # -- between two transactions

    def due(self, at: Position) -> Rows | None:
        """
        The chunk whose place is here, without what the stream has said itself; `given_out` must follow.

        Raises what ends the capture.
        """
        while self._flights and self._flights[0].chunk.done():
            flight = self._flights[0]
            chunk = self._landed(flight)
            if chunk is None or not chunk.watermark.is_reached(at):
                return None
            if chunk.identity != self._server.identity:
                self._discard("another-server")
                return None
            self._due = chunk
            return self._rows(chunk, flight, at)
        return None

    def _landed(self, flight: _Flight) -> Chunk | None:
        try:
            return flight.chunk.result()
        except Gone as gone:
            self._end_table(Outcome.GONE, gone.found)
        except Refused as refused:
            self._end_table(Outcome.REFUSED, " ".join(str(refused).splitlines()))
        except (SourceUnavailable, Changed) as error:
            log.warning("A chunk of a snapshot is read again", table=str(flight.read.name), why=error.found)
            self._discard("altered" if isinstance(error, Changed) else "unavailable")
            self._not_before = self._clock() + _PAUSE_SECONDS
        return None

    def _rows(self, chunk: Chunk, flight: _Flight, at: Position) -> Rows:
        seen = flight.seen
        keys = [key for key in chunk.keys if key not in seen] if seen else chunk.keys
        moment = chunk.read_at_us
        transaction = Transaction(None, moment, moment, at.file, at.offset, open=False, snapshot=True)
        return Rows(self._layout, Action.WRITE, keys, transaction, 0)

    def given_out(self) -> None:
        chunk, self._due = cast(Chunk, self._due), None
        one = cast(Snapshot, progress.active(self.state))
        self._flights.popleft()
        if chunk.restarted:
            log.warning("The key of a table is another one now: its snapshot begins anew", table=str(self.watched))
        one = progress.advanced(
            one, rows=len(chunk.keys), after=chunk.after, until=chunk.until, key=chunk.key,
            expected=chunk.rows_expected, restarted=chunk.restarted,
        )  # fmt: skip
        self._update(one)
        metrics.SNAPSHOT_CHUNKS.inc()
        metrics.SNAPSHOT_ROWS.inc(len(chunk.keys))
        metrics.SNAPSHOT_CHUNK_SECONDS.observe(chunk.seconds)
        if one.rate is not None:
            self._not_before = max(self._not_before, self._clock()) + len(chunk.keys) / one.rate
        if chunk.is_last:
            self._end_table(Outcome.DONE, "")

    def go_on(self, at: Position) -> bool:
        self._heed()
        one = progress.active(self.state)
        while one is not None and self._read is None:
            one = self._begin_table(one)
        if one is None or (at.gtids is None and self._server.flavor == "mysql"):
            return False
        self._ask_for_chunks(one, at)
        return bool(self._flights)

    def _ask_for_chunks(self, one: Snapshot, at: Position) -> None:
        read = cast(TableRead, self._read)
        ahead = _AHEAD if one.rate is None else 1
        limit = min(one.chunk_rows, self._most_rows, one.rate or self._most_rows)
        while len(self._flights) < ahead and self._clock() >= self._not_before:
            chunk = self._executor.submit(self._chunks.read, read, limit, at, self._server.identity)
            chunk.add_done_callback(self._wake)
            self._flights.append(_Flight(chunk, read))

    def _wake(self, _: Future[Chunk | None]) -> None:
        self.ready = True

    def _heed(self) -> None:
        """Requests that came by the control topic."""
        state = self._inbox.heed(self.state, self._now())
        if self._inbox.offset == self.control_offset:
            return
        was, self.state = progress.active(self.state), state
        self.control_offset = self._inbox.offset
        self.changed = True
        now = progress.active(state)
        if was is not None and (now is None or now.id != was.id or now.current != was.current):
            self._discard("interrupted")
        self._measure()

    def _begin_table(self, one: Snapshot) -> Snapshot | None:
        """With its current table being read; the snapshot that is next, where that table cannot be."""
        one = progress.begun(one, self._now())
        self._update(one)
        current = one.current
        if current is None:
            return progress.active(self.state)
        why = self._inbox.why_not(current.name, self._server)
        if why:
            self._end_table(Outcome.REFUSED, why)
            return progress.active(self.state)
        if current.after is None:
            log.info("The snapshot of a table began", table=str(current.name), snapshot=one.id)
        self._read = TableRead(current.name, one.where, current.after, current.until, current.key)
        self._layout = TableLayout(*current.name, (), ())
        self.watched = current.name
        return one

    def _end_table(self, outcome: Outcome, why: str) -> None:
        one = cast(Snapshot, progress.active(self.state))
        self._stop_reading()
        self.state = progress.updated(self.state, progress.end(one, outcome, why, self._now()))
        self.changed = True
        self._measure()
        told = self.state[[each.id for each in self.state].index(one.id)].ended[-1]
        say = log.info if outcome is Outcome.DONE else log.warning
        say("The snapshot of a table ended", table=str(told.name), outcome=outcome.value, rows=told.rows, why=why)

    def _update(self, one: Snapshot) -> None:
        self.state = progress.updated(self.state, one)
        self.changed = True
        self._measure()

    def _measure(self) -> None:
        metrics.SNAPSHOT_TABLES_WAITING.set(progress.tables_waiting(self.state))
        one = progress.active(self.state)
        done = None if one is None or one.current is None else progress.fraction(one.current)
        metrics.SNAPSHOT_TABLE_DONE.set(done or 0)

    def close(self) -> None:
        self._stop_reading()
        self._inbox.close()
        self._chunks.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
