"""
One run of one peer over a log that is written already: how long it takes, and what it uses.

The clock starts when the server begins to send its log, and stops when the last record can be seen by a reader of
committed records.  All that is before is the time to get ready.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.data_sets import Written
from tests.benchmarks.peer import PARTITIONS, Peer, Start, new_prefix, started
from tests.benchmarks.process_tree import ProcessTree
from tests.benchmarks.servers import Servers
from tests.benchmarks.topics import Cluster, Found, compared

READY_SECONDS = 90
STALL_SECONDS = 20
QUIET_SECONDS = 1.0
_LOOK_FOR_DUMP_SECONDS = 0.005
_LOOK_AT_TOPIC_SECONDS = 0.02


class Failed(Exception):
    """The peer did not do it; the message says why, and what it said last."""


@dataclass(frozen=True, slots=True)
class Drain:
    """`cpu_seconds` are those from the first byte on, `start_cpu_seconds` those before."""

    rows: int
    seconds: float
    first_seconds: float
    ready_seconds: float
    cpu_seconds: float
    start_cpu_seconds: float
    peak_bytes: int
    found: Found

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_per_million(self) -> float:
        return self.cpu_seconds / self.rows * 1e6

    @property
    def whole_cpu_per_million(self) -> float:
        return (self.cpu_seconds + self.start_cpu_seconds) / self.rows * 1e6


def drain(peer: Peer, home: Path, servers: Servers, written: Written, scratch: Path, limit_seconds: float) -> Drain:
    """Raises Failed when the peer ends, stalls or takes longer than the limit."""
    with streaming(peer, home, servers, written, scratch) as stream:
        run = _Watch(stream, written, limit_seconds)
        run.to_the_end()
        if not run.wrote:
            raise Failed(f"it wrote no record within {STALL_SECONDS} s\n{stream.start.said()}")
        found = compared(stream.cluster.messages(stream.topic, PARTITIONS), written.keys())
    return run.result(found)


@dataclass(frozen=True, slots=True)
class Stream:
    """A peer to which the server has begun to send its log."""

    start: Start
    tree: ProcessTree
    cluster: Cluster
    topic: str
    ready_seconds: float
    start_cpu_seconds: float
    since: float


@contextmanager
def streaming(peer: Peer, home: Path, servers: Servers, written: Written, scratch: Path) -> Iterator[Stream]:
    """Its topics, made before it starts, are gone afterwards."""
    cluster, prefix = Cluster(servers.kafka), new_prefix(peer)
    topic = f"{prefix}.{written.schema}.{written.table}"
    cluster.create(topic, PARTITIONS)
    directory = scratch / prefix
    try:
        with servers.session() as session:
            before, began = session.dumps(), time.monotonic()
            with started(peer, home, servers, written, prefix, directory) as start:
                tree = ProcessTree(start.process.pid)
                while not session.dumps() - before:
                    _refuse_end(start, began + READY_SECONDS, f"no dump of the log within {READY_SECONDS} s")
                    time.sleep(_LOOK_FOR_DUMP_SECONDS)
                since = time.monotonic()
                yield Stream(start, tree, cluster, topic, since - began, tree.cpu_seconds(), since)
    finally:
        cluster.delete(prefix)
        shutil.rmtree(directory, ignore_errors=True)


def _refuse_end(start: Start, deadline: float, what: str) -> None:
    code = start.process.poll()
    if code is not None:
        raise Failed(f"it ended with {code}\n{start.said()}")
    if time.monotonic() > deadline:
        raise Failed(f"{what}\n{start.said()}")


class _Watch:
    """Follows the end of the topic until it has come to rest."""

    def __init__(self, stream: Stream, written: Written, limit_seconds: float) -> None:
        self._stream = stream
        self._written = written
        self._limit = limit_seconds
        self._seen = 0
        self._first = self._last = stream.since
        self._cpu = stream.start_cpu_seconds

    @property
    def wrote(self) -> bool:
        return self._seen > 0

    def to_the_end(self) -> None:
        stream = self._stream
        while not self._rests():
            seen = stream.cluster.committed(stream.topic, PARTITIONS)
            if seen != self._seen:
                self._last = time.monotonic()
                self._first = self._first if self._seen else self._last
                self._seen = seen
                self._cpu = stream.tree.cpu_seconds()
            stream.tree.note_memory()
            _refuse_end(
                stream.start, stream.since + self._limit, f"not done within {self._limit:.0f} s: {seen} records"
            )
            time.sleep(_LOOK_AT_TOPIC_SECONDS)

    def _rests(self) -> bool:
        quiet = time.monotonic() - self._last
        return quiet > STALL_SECONDS or (self._seen >= self._written.rows and quiet > QUIET_SECONDS)

    def result(self, found: Found) -> Drain:
        stream = self._stream
        return Drain(
            rows=self._written.rows,
            seconds=self._last - stream.since,
            first_seconds=self._first - stream.since,
            ready_seconds=stream.ready_seconds,
            cpu_seconds=self._cpu - stream.start_cpu_seconds,
            start_cpu_seconds=stream.start_cpu_seconds,
            peak_bytes=stream.tree.peak_bytes,
            found=found,
        )
