"""
Everything that a capture depends on, looked at beforehand: the source, Kafka, the schema registry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from meepo2_cdc.capture import kafka_preflight
from meepo2_cdc.capture.binlog import preflight as source_preflight
from meepo2_cdc.capture.binlog.server import SourceServer
from meepo2_cdc.checks import Finding
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import Error
from meepo2_cdc.kafka.clients import connect
from meepo2_cdc.kafka.registry import is_reachable, refusal
from meepo2_cdc.kafka.topics import TopicNames, partition_counts
from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

_AT_START = 200


def inspect_all(settings: Settings, server_id: int, *, write: bool = False) -> Iterator[Finding]:
    """With `write`, Kafka's clock is looked at too, for which a record is written."""
    yield from _source(settings, server_id)
    topics: list[str] = []
    try:
        admin = connect(settings.kafka)
        yield _kafka(settings, admin)
        yield from kafka_preflight.inspect(settings, admin)
        if write:
            yield kafka_preflight.clock(settings, admin)
        names = TopicNames(settings.prefix, settings.topics.template)
        topics = sorted(filter(names.is_data_topic, partition_counts(admin)))
    except (Error, KafkaException, TimeoutError) as error:
        known = error if isinstance(error, Error) else Error(str(error) or "Kafka does not answer in time")
        yield Finding("kafka", known.found, False, fix=known.fix or "See bootstrap.servers in [kafka].")
    if settings.schema_registry_url is not None:
        yield from _registry(settings.schema_registry_url, topics)


def tell_at_start(settings: Settings, of_source: Iterable[Finding], admin: AdminClient) -> None:
    """What did not pass, in the log.  What Kafka does not tell now is no reason not to begin."""
    source_preflight.tell_advice(of_source)
    try:
        source_preflight.tell_advice(kafka_preflight.inspect(settings, admin, _AT_START))
    except (Error, KafkaException, TimeoutError) as error:
        log.warning("Kafka's settings could not be looked at", why=str(error))


def _source(settings: Settings, server_id: int) -> Iterator[Finding]:
    server = SourceServer(settings.source)
    try:
        version = server.version
        yield Finding("source", f"{server.address} is {server.flavor} {version}", True)
        yield from source_preflight.inspect(
            server,
            server_id,
            TableFilter(settings.tables),
            whole_rows=bool(settings.capture.rows),
            downtime_seconds=settings.capture.expected_downtime_seconds,
        )
    except Error as error:
        yield Finding("source", error.found, False, fix=error.fix or "See [source] in the settings.")
    finally:
        server.close()


def _kafka(settings: Settings, admin: AdminClient) -> Finding:
    brokers = len(admin.list_topics(timeout=10).brokers)
    at = settings.kafka.get("bootstrap.servers", "")
    return Finding("kafka", f"Kafka at {at} with {brokers} broker{'s' * (brokers != 1)}", True)


def _registry(url: str, topics: Iterable[str]) -> Iterator[Finding]:
    reachable = is_reachable(url)
    yield Finding(
        "schema-registry", f"schema registry at {url.rsplit('@', 1)[-1]}", reachable,
        fix="It does not answer.  See schema_registry_url (MEEPO2_SCHEMA_REGISTRY_URL).",
    )  # fmt: skip
    if not reachable:
        return
    subjects = [(f"{topic}-{part}", name) for topic in topics for part, name in _RECORDS]
    refused = [why for subject, name in subjects if (why := refusal(url, subject, name)) is not None]
    yield Finding(
        "registry-compatibility",
        "; ".join(refused[:5]) or f"{len(subjects)} subjects take the schemas of the records",
        not refused,
        fix="The capture would end at the first record of such a topic.  Look at the subject's versions and its"
        " compatibility.",
    )


_RECORDS = (("key", "table_key"), ("value", "table_action"))
