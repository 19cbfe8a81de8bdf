"""
The topics of one capture: made when they are first needed, never by the broker's own habit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from meepo2_cdc.capture.encoder import Topic
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import Error, PositionLost, UnreadableData
from meepo2_cdc.kafka import checkpoints
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.kafka.offsets import Partition
from meepo2_cdc.kafka.topics import TopicNames, ensure_topic, ensure_topics, partition_counts
from meepo2_cdc.records.avro import ActionDecoder, single_object_header
from meepo2_cdc.records.row_avro import ChangeDecoder
from meepo2_cdc.table_filter import TableFilter

_TAIL = 100
_FURTHER = 10
_SILENCE_SECONDS = 20
"""More than transaction.timeout.ms: the transactions of others have an end by then."""
_SHOWN = 5


class CaptureTopics:
    """Data topics and the checkpoint topic."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        self._settings = settings
        self._admin = admin
        self._made: dict[str, int] = {}
        self._wanted: dict[str, None] = {}
        self._names = TopicNames(settings.prefix, settings.topics.template)
        self.checkpoint = self._names.checkpoint_topic(settings.source.name)
        self.lock = self._names.lock_topic(settings.source.name)

    def ensure_checkpoint_topic(self) -> None:
        replication = self._settings.topics.replication_factor
        ensure_topic(self._admin, self.checkpoint, 1, replication, checkpoints.TOPIC_CONFIG)

    def ensure_lock_topic(self) -> None:
        """It never holds a record; its one partition is what the instances share."""
        ensure_topic(self._admin, self.lock, 1, self._settings.topics.replication_factor, {})

    def open(self, schema: str, table: str) -> Topic:
        """The topic of a table, created if need be, with its schemas registered where there is a registry."""
        name = self._names.data_topic(schema, table)
        self._ensure([name])
        return self._topic(name)

    def name(self, schema: str, table: str) -> Topic:
        """The same, but for its partitions: it is created by the next `create`, with the others that are new."""
        name = self._names.data_topic(schema, table)
        if name not in self._made:
            self._wanted[name] = None
        return self._topic(name)

    def create(self) -> None:
        """Makes the topics that were named, before anything is written to them."""
        if self._wanted:
            self._ensure(list(self._wanted))
            self._wanted.clear()

    def _ensure(self, names: list[str]) -> None:
        wanted = self._settings.topics
        config = {"cleanup.policy": wanted.cleanup_policy, "retention.ms": str(wanted.retention_ms)}
        self._made = ensure_topics(self._admin, names, wanted.partitions, wanted.replication_factor, config)

    # -- topics of rows

    @cached_property
    def _row_tables(self) -> list[TableFilter]:
        return [TableFilter(rule.tables) for rule in self._settings.capture.rows]

    def has_rows(self, schema: str, table: str) -> bool:
        return any(tables.passes(schema, table) for tables in self._row_tables)

    def open_rows(self, schema: str, table: str) -> Topic:
        name = self._names.row_topic(schema, table)
        self._ensure([name])
        return self._topic(name, "row_change")

    def name_rows(self, schema: str, table: str) -> Topic:
        return self._named(self._names.row_topic(schema, table))

    def name_row_letters(self) -> Topic:
        return self._named(self._names.row_letters_topic)

    def _named(self, name: str) -> Topic:
        if name not in self._made:
            self._wanted[name] = None
        return self._topic(name, "row_change")

    def _topic(self, name: str, record: str = "table_action") -> Topic:
        partitions = self._made.get(name, self._settings.topics.partitions)
        url = self._settings.schema_registry_url
        if url is None:
            return Topic(name, partitions, single_object_header("table_key"), single_object_header(record))
        from meepo2_cdc.kafka.registry import header_of  # its HTTP client is 10 MB and 0.2 s

        return Topic(
            name,
            partitions,
            header_of(url, f"{name}-key", "table_key"),
            header_of(url, f"{name}-value", record),
        )

    def data_partitions(self) -> list[Partition]:
        """All that can hold records of the prefix."""
        counts = partition_counts(self._admin)
        of_rows = self._names.is_row_topic
        letters = self._names.row_letters_topic
        names = (name for name in counts if self._names.is_data_topic(name) or of_rows(name) or name == letters)
        return [Partition(name, number) for name in names for number in range(counts[name])]

    def refuse_existing_records(self) -> None:
        """
        Raises PositionLost when records of this source are in the topics although no checkpoint is.

        Beginning anew then would leave a gap or repeat what is there, in silence.
        """
        counts = partition_counts(self._admin)
        for name in sorted(filter(self._names.is_data_topic, counts)):
            if self._holds_our_records(name, counts[name]):
                raise PositionLost(
                    f"the topic {name} holds records of the source {self._settings.source.name!r}, and"
                    f" {self.checkpoint} holds no checkpoint",
                    fix="It was deleted, or emptied.  Ways out:\n"
                    "- `meepo2-cdc checkpoint set POSITION` says where to go on (earliest, FILE:POSITION, a GTID set, a"
                    " time);\n- begin under a new prefix.",
                )

    def _holds_our_records(self, topic: str, partitions: int) -> bool:
        """Looks at the last records first, and further back until there is one that tells, or no more."""
        consumer = Consumer({
            **quiet(self._settings.kafka),
            "group.id": f"meepo2-cdc.none.{self._settings.source.name}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "isolation.level": "read_uncommitted",  # an open transaction of somebody else hides nothing
        })  # fmt: skip
        try:
            return any(self._holds_ours(consumer, topic, number) for number in range(partitions))
        finally:
            consumer.close()

    def _holds_ours(self, consumer: Consumer, topic: str, partition: int) -> bool:
        """Offsets are no records: the ends of transactions have some too, and compacted records leave theirs behind."""
        low, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
        size = _TAIL
        while end > low:
            begin = max(low, end - size)
            for message in _records(consumer, TopicPartition(topic, partition, begin), end):
                if (value := message.value()) is not None and self._is_ours(value):
                    return True
            end, size = begin, size * _FURTHER
        return False

    @cached_property
    def decoder(self) -> ActionDecoder:
        url = self._settings.schema_registry_url
        if url is None:
            return ChangeDecoder()
        from meepo2_cdc.kafka.registry import schema_of_id

        return ChangeDecoder(schema_of_id(url))

    def _is_ours(self, value: bytes) -> bool:
        try:
            return self.decoder.action(value).source.name == self._settings.source.name
        except UnreadableData:
            return True  # whatever it is, it is in our topic


def _records(consumer: Consumer, begin: TopicPartition, end: int) -> Iterator[Message]:
    """The records from an offset on and before another; raises Error when they do not come."""
    consumer.assign([begin])
    at, heard = begin.offset, time.monotonic()
    while at < end:
        for message in consumer.consume(1000, timeout=0.2):
            heard = time.monotonic()
            error = message.error()
            if error is None:
                at = (message.offset() or 0) + 1
                if at <= end:
                    yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                return
        if time.monotonic() - heard > _SILENCE_SECONDS:
            raise Error(f"Kafka gives no records of {begin.topic}[{begin.partition}] behind offset {at}")
