"""
The capture of a real source into a real Kafka, put together from the settings.
"""

from __future__ import annotations

import threading
import zlib
from contextlib import closing

from meepo2_cdc.capture.binlog.source import BinlogSource
from meepo2_cdc.capture.service import CaptureService
from meepo2_cdc.capture.standby import SESSION_MS, Lock
from meepo2_cdc.capture.topics import CaptureTopics
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import KafkaUnavailable
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.kafka.lost_ends import LostEnds
from meepo2_cdc.kafka.writer import TransactionalWriter
from meepo2_cdc.table_filter import TableFilter


def capture_service(settings: Settings, *, once: bool = False) -> CaptureService:
    # the source first: it complains of settings at once, Kafka only after a time without an answer
    source = BinlogSource(settings.source, server_id_of(settings), TableFilter(settings.tables))
    topics = CaptureTopics(settings, connect(settings.kafka))
    return CaptureService(settings, source, writer_of(settings, topics), topics, once=once)


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
        if lock.wait(stop):
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
