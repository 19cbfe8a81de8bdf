"""
What bounds our rates, each alone in this process: the bytes of the dump, the walk over rows, producing to Kafka; and
what reads the topic again.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from unittest.mock import patch

from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from meepo2_cdc.capture.binlog.changes import ChangeReader
from meepo2_cdc.capture.binlog.connection import DumpPosition, open_dump
from meepo2_cdc.capture.binlog.rows import KeyWalker
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.binlog.stream import ARTIFICIAL, BinlogStream, Event
from meepo2_cdc.capture.binlog.transactions import Mark, Position, Rows, Since, Truncate
from meepo2_cdc.capture.encoder import Encoder, Topic
from meepo2_cdc.config import SourceSettings
from meepo2_cdc.kafka.offsets import Partition, extents
from meepo2_cdc.kafka.reader import RangeReader
from meepo2_cdc.kafka.writer import Message, TransactionalWriter
from meepo2_cdc.records.avro import ActionDecoder, single_object_header
from meepo2_cdc.records.checkpoint import Checkpoint
from meepo2_cdc.table_filter import TableFilter
from tests.benchmarks.data_sets import Written
from tests.benchmarks.peer import PARTITIONS
from tests.benchmarks.servers import Servers
from tests.benchmarks.topics import Cluster

SILENCE_SECONDS = 30
BATCH_ROWS = 10_000
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows a second of each part alone."""

    dump: float
    walk: float
    produce: float
    replay: float

    @property
    def lower(self) -> float:
        """The one that the whole can be held against."""
        return min(self.walk, self.produce)


def measure(servers: Servers, written: Written) -> Limits:
    batches, walk_seconds = _read(servers, written)
    produce_seconds, replay_seconds = _produce_and_replay(servers, written, batches)
    parts = (_raw_seconds(servers, written), walk_seconds, produce_seconds, replay_seconds)
    return Limits(*(written.rows / seconds for seconds in parts))


def _source(servers: Servers) -> SourceSettings:
    return SourceSettings(dsn=SecretStr(servers.dsn), tls_mode="disabled")


def _server_id() -> int:
    return 2_000_000_000 + secrets.randbelow(1_000_000_000)


def _raw_seconds(servers: Servers, written: Written) -> float:
    """Nothing but the socket: as many bytes as the log has grown by."""
    dump = open_dump(_source(servers), _server_id(), "mysql", DumpPosition(written.file, written.position))
    with closing(dump):
        dump.socket.setblocking(True)
        began, left = time.perf_counter(), written.log_bytes
        while left > 0 and (piece := dump.socket.recv(_PIECE_BYTES)):
            left -= len(piece)
        return time.perf_counter() - began


class _KeptEvents:
    """The events of a log, read before, given out as a stream."""

    def __init__(self, kept: list[Event]) -> None:
        self._kept = kept

    def events(self) -> Iterator[Event | None]:
        return iter(self._kept)


def _read(servers: Servers, written: Written) -> tuple[list[list[Message]], float]:
    """Batches of messages as the capture makes them, and the seconds that walking over the rows takes."""
    walks: list[tuple[KeyWalker, bytes, int, int]] = []
    original = KeyWalker.keys

    def noted(walker: KeyWalker, buf: bytes, start: int, end: int) -> list[bytes]:
        walks.append((walker, buf, start, end))
        return original(walker, buf, start, end)

    with patch.object(KeyWalker, "keys", noted):
        batches = _encoded(_changes(servers, written, _events(servers, written)))
    return batches, _seconds_of(lambda: [walker.keys(buf, start, end) for walker, buf, start, end in walks])


def _events(servers: Servers, written: Written) -> list[Event]:
    dump = open_dump(_source(servers), _server_id(), "mysql", DumpPosition(written.file, written.position))
    kept: list[Event] = []
    size = 0
    with closing(dump):
        for event in BinlogStream(dump, "the server", SILENCE_SECONDS).events():
            if event is not None:
                kept.append(event)
                size += 0 if event.flags & ARTIFICIAL else event.size
            if size >= written.log_bytes:
                break
    return kept


def _changes(servers: Servers, written: Written, kept: list[Event]) -> list[Rows]:
    with closing(SourceServer(_source(servers))) as server:
        reader = ChangeReader(
            Position(written.file, written.position, None),
            TableFilter([f"{written.schema}.*"]),
            server.catalog,
            since=Since(),
            learn_gtids=False,
            skip_unreadable=False,
        )
        return [one for one in reader.changes(_KeptEvents(kept)) if not isinstance(one, Mark | Truncate)]


def _encoded(changes: list[Rows]) -> list[list[Message]]:
    topic = Topic("t", PARTITIONS, single_object_header("table_key"), single_object_header("table_action"))
    encoder = Encoder("db", 0, lambda *_: topic, tombstones=False)
    batches = []
    for rows in changes:
        encoder.add_rows(rows)
        if encoder.rows >= BATCH_ROWS:
            batches.append(encoder.take()[0]["t"])
    if encoder.rows:
        batches.append(encoder.take()[0]["t"])
    return batches


def _produce_and_replay(servers: Servers, written: Written, batches: list[list[Message]]) -> tuple[float, float]:
    """
    The writer alone: transactions of ten thousand records that are ready, up to the last commit.  Then the reader
    alone: all of them read, decoded and merged by seq.
    """
    cluster, prefix = Cluster(servers.kafka), f"bench-limit-{secrets.token_hex(4)}"
    topic, checkpoints = f"{prefix}.data", f"{prefix}.checkpoints"
    for name, partitions in ((topic, PARTITIONS), (checkpoints, 1)):
        cluster.create(name, partitions)
    kafka = {"bootstrap.servers": servers.kafka}
    writer = TransactionalWriter(kafka, prefix, checkpoints, "db")
    writer.open()
    try:
        made = _checkpoint(written)
        produce_seconds = _seconds_of(lambda: [writer.write({topic: batch}, made) for batch in batches])
        ranges = extents(AdminClient(kafka), [Partition(topic, number) for number in range(PARTITIONS)])
        replay_seconds = _seconds_of(lambda: deque(RangeReader(kafka, ranges, ActionDecoder()), maxlen=0))
        return produce_seconds, replay_seconds
    finally:
        writer.close()
        cluster.delete(prefix)


def _seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _checkpoint(written: Written) -> Checkpoint:
    now = datetime.now(UTC)
    return Checkpoint(
        source="db",
        flavor="mysql",
        server=None,
        gtid_set=None,
        file=written.file,
        position=written.position,
        gtid=None,
        rows_done=0,
        undecided=None,
        seq=0,
        tables=("*.*",),
        committed_at=now,
        written_by="bench",
        written_at=now,
    )
