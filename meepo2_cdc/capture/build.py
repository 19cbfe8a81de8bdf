"""
The capture of a real source into a real Kafka, put together from the settings.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from confluent_kafka.admin import AdminClient

from meepo2_cdc.capture.binlog.file_source import FileSource
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.binlog.source import BinlogSource
from meepo2_cdc.capture.preflight import tell_at_start
from meepo2_cdc.capture.row_messages import RowMessages
from meepo2_cdc.capture.service import CaptureService, Source
from meepo2_cdc.capture.snapshot.chunks import ChunkReader
from meepo2_cdc.capture.snapshot.inbox import Inbox
from meepo2_cdc.capture.snapshot.keyed_table import captured_tables
from meepo2_cdc.capture.snapshot.snapshots import Snapshots
from meepo2_cdc.capture.standby import SESSION_MS, Lock
from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import Fenced, KafkaUnavailable
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.kafka.control import ControlTopic
from meepo2_cdc.kafka.lost_ends import LostEnds
from meepo2_cdc.kafka.topics import TopicNames
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.table_filter import TableFilter


def capture_service(settings: Settings, *, once: bool = False, files: Sequence[Path] = ()) -> CaptureService:
    """Of the server, or of `files` of its log up to their end."""
    # the source first: it complains of settings at once, Kafka only after a time without an answer
    source: Source
    if files:
        source = FileSource(settings.source, files)
    else:
        source = BinlogSource(
            settings.source,
            server_id_of(settings),
            TableFilter(settings.tables),
            whole_rows=bool(settings.capture.rows),
            patience_seconds=settings.capture.reconnect_seconds,
            downtime_seconds=settings.capture.expected_downtime_seconds,
        )
    admin = connect(settings.kafka)
    snapshots = snapshots_of(settings, source, admin, once=once) if isinstance(source, BinlogSource) else None
    topics = CaptureTopics(settings, admin)
    writer = writer_of(settings, topics)
    rows = RowMessages(topics) if settings.capture.rows else None

    def advise() -> None:
        tell_at_start(settings, source.findings if isinstance(source, BinlogSource) else (), admin)

    return CaptureService(settings, source, writer, topics, once=once, snapshots=snapshots, rows=rows, advise=advise)


def snapshots_of(settings: Settings, source: BinlogSource, admin: AdminClient, *, once: bool) -> Snapshots:
    """With `once`, all requests that are there come first."""
    tables = TableFilter(settings.tables)
    topic = TopicNames(settings.prefix, settings.topics.template).control_topic(settings.source.name)
    control = ControlTopic(settings.kafka, admin, topic, at_once=once)
    inbox = Inbox(control, tables, lambda: captured_tables(source.catalog.ask, tables))
    return Snapshots(
        source,
        ChunkReader(settings.source, lambda: source.flavor),
        ThreadPoolExecutor(1, thread_name_prefix="snapshot"),
        inbox,
        most_rows=settings.capture.commit_rows,
    )


def refuse_second(settings: Settings) -> None:
    """Raises Fenced while a capture of this source is connected to it: the source lists whom it sends its log."""
    number = server_id_of(settings)
    with closing(SourceServer(settings.source)) as server:
        connected = server.sends_log_to(number)
    if connected:
        raise Fenced(
            f"a capture is connected to {settings.source.address} already, as replica {number} or by this account",
            fix="Leave out --once: a capture that runs heeds requests itself.",
        )


def run_with_lock(settings: Settings, service: CaptureService) -> None:
    """
    Runs the service once this instance holds the lock.

    Raises Fenced when the lock is lost to another instance, KafkaUnavailable when it is lost and nobody took over: the
    process is to be started again, as a standby.
    """
    topics = CaptureTopics(settings, connect(settings.kafka))
    topics.ensure_lock_topic()
    lock = Lock(settings.kafka, topics.lock, service.stopping)
    lost = threading.Event()

    def stop() -> None:
        lost.set()
        service.stop()

    with closing(lock):
        if lock.wait(stop, service.progress):
            service.run()
        if lost.is_set():
            service.refuse_successor()
            raise KafkaUnavailable(
                f"the lock was lost: Kafka was away, or this process was paused, for {SESSION_MS // 1000} s",
                fix="Start it again, to stand by.",
            )


def writer_of(settings: Settings, topics: CaptureTopics) -> TransactionalWriter:
    """Its transactional id is the same on every host: that is what fences a predecessor."""
    return TransactionalWriter(
        settings.kafka,
        transactional_id=f"{settings.prefix}.{settings.source.name}",
        checkpoint_topic=topics.checkpoint,
        source=settings.source.name,
        end_lost=LostEnds(
            settings.kafka, topics.checkpoint, settings.source.name, topics.data_partitions, topics.decoder.action
        ),
    )


def server_id_of(settings: Settings) -> int:
    """The replica number: as set, else the same one always for this prefix and source, above the usual ones."""
    if settings.source.server_id is not None:
        return settings.source.server_id
    name = f"{settings.prefix}.{settings.source.name}"
    return 1_000_000_000 + zlib.crc32(name.encode()) % 3_000_000_000
