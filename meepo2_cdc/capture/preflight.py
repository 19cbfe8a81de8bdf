"""
Everything that a capture depends on, looked at beforehand: the source, Kafka, the schema registry.
"""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from meepo2_cdc.capture.binlog import preflight as source_preflight
from meepo2_cdc.capture.binlog.preflight import Finding
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.capture.build import server_id_of
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import Error
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.kafka.registry import is_reachable
from meepo2_cdc.kafka.topics import TopicNames, partition_counts
from meepo2_cdc.table_filter import TableFilter

_KAFKA_SECONDS = 10
_WEEK_MS = 7 * 24 * 3600 * 1000


def inspect_all(settings: Settings) -> Iterator[Finding]:
    yield from _source(settings)
    yield from _kafka(settings)
    if settings.schema_registry_url is not None:
        url = settings.schema_registry_url
        yield Finding(
            "schema-registry", f"schema registry at {url.rsplit('@', 1)[-1]}", is_reachable(url),
            fix="It does not answer.  See schema_registry_url (MEEPO2_SCHEMA_REGISTRY_URL).",
        )  # fmt: skip


def _source(settings: Settings) -> Iterator[Finding]:
    server = SourceServer(settings.source)
    try:
        version = server.version
        yield Finding("source", f"{server.address} is {server.flavor} {version}", True)
        yield from source_preflight.inspect(server, server_id_of(settings), TableFilter(settings.tables))
    except Error as error:
        yield Finding("source", error.found, False, fix=error.fix or "See [source] in the settings.")
    finally:
        server.close()


def _kafka(settings: Settings) -> Iterator[Finding]:
    brokers = settings.kafka.get("bootstrap.servers", "")
    try:
        admin = connect(settings.kafka)
        found = admin.list_topics(timeout=_KAFKA_SECONDS)
    except (Error, KafkaException) as error:
        known = error if isinstance(error, Error) else Error(str(error))
        yield Finding("kafka", known.found, False, fix=known.fix or "See bootstrap.servers in [kafka].")
        return
    yield Finding("kafka", f"Kafka at {brokers} with {len(found.brokers)} brokers", True)
    names = TopicNames(settings.prefix, settings.topics.template)
    topics = sorted(filter(names.is_data_topic, partition_counts(admin)))
    yield Finding("topics", f"{len(topics)} data topics of the prefix {settings.prefix!r}", True)
    for topic in topics:
        yield from _retention(admin, topic)


def _retention(admin: AdminClient, topic: str) -> Iterator[Finding]:
    """Records carry the time of the commit, so a broker deletes at once what is older than the retention."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    values = admin.describe_configs([resource])[resource].result(_KAFKA_SECONDS)
    retention_ms = int(values["retention.ms"].value)
    if "delete" in values["cleanup.policy"].value and 0 <= retention_ms < _WEEK_MS:
        yield Finding(
            "retention", f"{topic} keeps records for {retention_ms / 3_600_000:.1f} hours after the source's commit",
            False, advice=True,
            fix="A capture that is further behind would lose records to the broker.  Raise retention.ms of the topic.",
        )  # fmt: skip
