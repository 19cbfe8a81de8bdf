"""
Which topic a table's records go to, and the making of topics.

Topic names are made from server names, so every character that Kafka does not allow becomes `_`; two tables that
would then share a topic without having been told to are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from meepo2_cdc.errors import ConfigError, KafkaUnavailable

_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]")
_RESERVED = ("checkpoints", "lock", "control", "rows")
_NAME_LIMIT = 249  # org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH
ADMIN_TIMEOUT_SECONDS = 30
_AT_ONCE = 500
_SILENT = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT)
_REFUSED = (
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_CONFIG,
    KafkaError.POLICY_VIOLATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


class TopicNames:
    """
    Topic names of one prefix.

    `template` may use {prefix}, {schema} and {table}; without {schema} or {table} several tables share a topic.
    """

    def __init__(self, prefix: str, template: str = "{prefix}.{schema}.{table}") -> None:
        self._prefix = prefix
        self._template = template
        self._each_table_its_own = "{schema}" in template and "{table}" in template
        self._owner: dict[str, tuple[str, str]] = {}
        self._pattern = _pattern(prefix, template)
        self._internal = tuple(f"{prefix}.{word}." for word in _RESERVED)

    def data_topic(self, schema: str, table: str) -> str:
        """The topic of a table; raises ConfigError where two tables would meet in one by accident."""
        topic = self._template.format(
            prefix=self._prefix, schema=_ILLEGAL.sub("_", schema), table=_ILLEGAL.sub("_", table)
        )
        if len(topic) > _NAME_LIMIT or topic.startswith(self._internal):
            raise ConfigError(
                f"the table {schema}.{table} would get the topic {topic!r}, which is "
                + ("too long for Kafka" if len(topic) > _NAME_LIMIT else "kept for this program's own use"),
                fix="Set another [topics] template, or exclude the table.",
            )
        owner = self._owner.setdefault(topic, (schema, table))
        if self._each_table_its_own and owner != (schema, table):
            raise ConfigError(
                f"the tables {'.'.join(owner)} and {schema}.{table} would both get the topic {topic!r}",
                fix="Exclude one of them, or set a [topics] template that tells them apart.",
            )
        return topic

    def is_data_topic(self, name: str) -> bool:
        """Whether a topic of the cluster can hold records of this prefix."""
        return (
            self._pattern.fullmatch(name) is not None
            and not name.startswith(self._internal)
            and not name.endswith(".dead-letters")
        )

    def row_topic(self, schema: str, table: str) -> str:
        """The topic of a table's rows; raises ConfigError as `data_topic`."""
        names = _ILLEGAL.sub("_", schema), _ILLEGAL.sub("_", table)
        topic = f"{self._prefix}.rows.{names[0]}.{names[1]}"
        owner = self._owner.setdefault(topic, (schema, table))
        if owner != (schema, table) or len(topic) > _NAME_LIMIT:
            raise ConfigError(
                f"the rows of {schema}.{table} would go to the topic {topic!r}, which is "
                + ("too long for Kafka" if len(topic) > _NAME_LIMIT else f"that of {'.'.join(owner)}"),
                fix="Leave the table out of [[capture.rows]].",
            )
        return topic

    def is_row_topic(self, name: str) -> bool:
        """Whether a topic of the cluster can hold rows of this prefix."""
        return name.startswith(f"{self._prefix}.rows.") and name != self.row_letters_topic

    @property
    def row_letters_topic(self) -> str:
        return f"{self._prefix}.rows.dead-letters"

    def checkpoint_topic(self, source: str) -> str:
        return f"{self._prefix}.checkpoints.{source}"

    def control_topic(self, source: str) -> str:
        return f"{self._prefix}.control.{source}"

    def lock_topic(self, source: str) -> str:
        return f"{self._prefix}.lock.{source}"


def _pattern(prefix: str, template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{(?:prefix|schema|table)\})", template)
    known = {"{prefix}": re.escape(prefix), "{schema}": "[A-Za-z0-9._-]+", "{table}": "[A-Za-z0-9._-]+"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts))


def ensure_topic(admin: AdminClient, topic: str, partitions: int, replication: int, config: Mapping[str, str]) -> int:
    """Creates the topic unless it is there; returns how many partitions it has."""
    return ensure_topics(admin, [topic], partitions, replication, config)[topic]


def ensure_topics(
    admin: AdminClient, topics: Sequence[str], partitions: int, replication: int, config: Mapping[str, str]
) -> dict[str, int]:
    """Creates those that are not there, some hundred by one request; all topics with their number of partitions."""
    wanted = NewTopic(topics[0], partitions, replication, config=dict(config))  # of whom a complaint will speak
    try:
        there = partition_counts(admin)
        new = [NewTopic(name, partitions, replication, config=dict(config)) for name in topics if name not in there]
        for first in range(0, len(new), _AT_ONCE):
            several = new[first : first + _AT_ONCE]
            made = admin.create_topics(several, operation_timeout=ADMIN_TIMEOUT_SECONDS)
            for wanted in several:
                there[wanted.topic] = _made(admin, wanted, made[wanted.topic])
    except KafkaException as error:
        raise _not_made(admin, wanted, error) from error
    except TimeoutError as error:
        raise KafkaUnavailable(
            f"Kafka did not make the topic {wanted.topic} within {ADMIN_TIMEOUT_SECONDS} s",
            fix="See whether the brokers run and how busy the controller is.  Start again: it goes on where it was.",
        ) from error
    return there


def _made(admin: AdminClient, wanted: NewTopic, answer: Future[None]) -> int:
    """Its number of partitions; another one may have been faster."""
    try:
        answer.result(ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return partition_counts(admin, [wanted.topic]).get(wanted.topic, int(wanted.num_partitions))
    return int(wanted.num_partitions)


def _not_made(admin: AdminClient, wanted: NewTopic, error: KafkaException) -> Exception:
    """A setting that Kafka does not take, or a right that lacks; anything else may pass by itself."""
    code, why = error.args[0].code(), error.args[0].str()
    if code == KafkaError.INVALID_REPLICATION_FACTOR:
        brokers = len(admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS).brokers)
        if wanted.replication_factor <= brokers:
            return error  # brokers that have only just started are not counted yet
        return ConfigError(
            f"the topic {wanted.topic} cannot be made with topics.replication_factor = {wanted.replication_factor}:"
            f" Kafka has {brokers} broker{'s' * (brokers != 1)} now",
            fix="Set MEEPO2_TOPICS_REPLICATION_FACTOR to at most that (-1 is the brokers' default), or start more.",
        )
    if code in _SILENT:
        return KafkaUnavailable(
            f"Kafka does not answer, and the topic {wanted.topic} is needed: {why}",
            fix="See whether the brokers run.  Start the capture again: it goes on exactly where it was.",
        )
    if code in _REFUSED:
        return ConfigError(
            f"Kafka refuses to make the topic {wanted.topic}: {why}",
            fix="See [topics] in the settings, and, with ACLs, the right Create on <prefix>.*.",
        )
    return error


def partition_counts(admin: AdminClient, topics: Iterable[str] | None = None) -> dict[str, int]:
    """Topics that exist, of those named or of all, with their number of partitions."""
    found: dict[str, Any] = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS).topics
    wanted = found.keys() if topics is None else topics
    return {name: len(found[name].partitions) for name in wanted if name in found and not found[name].error}
