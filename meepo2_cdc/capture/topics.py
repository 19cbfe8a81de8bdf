"""
The topics of one capture: made when they are first needed, never by the broker's own habit.
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from meepo2_cdc.capture.encoder import Topic
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import PositionLost, UnreadableData
from meepo2_cdc.kafka import checkpoints
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.kafka.registry import header_of, schema_of_id
from meepo2_cdc.kafka.topics import TopicNames, ensure_topic, partition_counts
from meepo2_cdc.records.avro import ActionDecoder, single_object_header

_TAIL = 20
_TAIL_SECONDS = 20


class CaptureTopics:
    """Data topics and the checkpoint topic."""

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        self._settings = settings
        self._admin = admin
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
        wanted = self._settings.topics
        config = {"cleanup.policy": wanted.cleanup_policy, "retention.ms": str(wanted.retention_ms)}
        partitions = ensure_topic(self._admin, name, wanted.partitions, wanted.replication_factor, config)
        url = self._settings.schema_registry_url
        if url is None:
            return Topic(name, partitions, single_object_header("table_key"), single_object_header("table_action"))
        return Topic(
            name,
            partitions,
            header_of(url, f"{name}-key", "table_key"),
            header_of(url, f"{name}-value", "table_action"),
        )

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
        """Looks at the last records of each partition."""
        consumer = Consumer({
            **quiet(self._settings.kafka),
            "group.id": f"meepo2-cdc.none.{self._settings.source.name}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        })  # fmt: skip
        url = self._settings.schema_registry_url
        decoder = ActionDecoder(schema_of_id(url) if url else None)
        try:
            tails = []
            for number in range(partitions):
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
                if high > low:
                    tails.append(TopicPartition(topic, number, max(low, high - _TAIL)))
            return self._any_ours(consumer, tails, decoder)
        finally:
            consumer.close()

    def _any_ours(self, consumer: Consumer, tails: list[TopicPartition], decoder: ActionDecoder) -> bool:
        open_ends = len(tails)
        consumer.assign(tails)
        deadline = time.monotonic() + _TAIL_SECONDS
        while open_ends and time.monotonic() < deadline:
            for message in consumer.consume(100, timeout=0.2):
                if message.error() is not None:
                    open_ends -= 1
                elif (value := message.value()) is not None and self._is_ours(decoder, value):
                    return True
        return bool(open_ends)

    def _is_ours(self, decoder: ActionDecoder, value: bytes) -> bool:
        try:
            return decoder.action(value).source.name == self._settings.source.name
        except UnreadableData:
            return True  # whatever it is, it is in our topic
