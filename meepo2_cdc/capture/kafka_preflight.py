"""
What Kafka must allow and have set for a capture.  Nothing is written, but by `clock`, which says so.

At a capture's start all of it is advice; what keeps it from running is refused where it is met.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, NewTopic, ResourceType

from meepo2_cdc.capture.binlog.log_contents import clock_finding
from meepo2_cdc.checks import Finding
from meepo2_cdc.config import Settings
from meepo2_cdc.errors import ConfigError
from meepo2_cdc.kafka import checkpoints
from meepo2_cdc.kafka.clients import quiet
from meepo2_cdc.kafka.topics import TopicNames, ensure_topic, partition_counts

_SECONDS = 10
_WEEK_MS = 7 * 24 * 3600 * 1000
_AT_ONCE = 200
_SHOWN = 5
_AT_LEAST_AHEAD_MS = 60_000

Configs = Mapping[str, Mapping[str, str]]
"""Values by topic and name."""


def inspect(settings: Settings, admin: AdminClient, most_topics: int | None = None) -> Iterator[Finding]:
    """Of all data topics, or of the first `most_topics`: a start does not wait for thousands."""
    names = TopicNames(settings.prefix, settings.topics.template)
    counts = partition_counts(admin)
    all_topics = sorted(filter(names.is_data_topic, counts))
    topics = all_topics[:most_topics]
    checkpoint = names.checkpoint_topic(settings.source.name)
    asked = [*topics, *([checkpoint] if checkpoint in counts else ())]
    configs = _configs(admin, asked)
    if hidden := [name for name in asked if name not in configs]:
        yield _hidden(hidden)
    looked_at = "" if topics == all_topics else f", of which {len(topics)} are looked at"
    yield Finding("topics", f"{len(all_topics)} data topics of the prefix {settings.prefix!r}{looked_at}", True)
    yield from _creation(settings, admin, names, counts)
    yield from _rights(admin, topics, checkpoint if checkpoint in counts else None)
    if checkpoint in configs:
        yield _checkpoint_topic(checkpoint, counts[checkpoint], configs[checkpoint])
    data = {name: configs[name] for name in topics if name in configs}
    yield _retention(data)
    yield _cleanup(data, settings.topics.cleanup_policy)
    yield _timestamps(data)
    yield _partitions({name: counts[name] for name in topics}, settings.topics.partitions)
    if settings.capture.rows:
        of_rows = _configs(admin, [one for one in counts if names.is_row_topic(one)])
        yield _size(of_rows, max(one.max_bytes for one in settings.capture.rows))


def _configs(admin: AdminClient, topics: Sequence[str]) -> Configs:
    """Of those that this account may ask for."""
    found: dict[str, dict[str, str]] = {}
    for first in range(0, len(topics), _AT_ONCE):
        asked = [ConfigResource(ResourceType.TOPIC, name) for name in topics[first : first + _AT_ONCE]]
        for resource, answer in admin.describe_configs(asked, request_timeout=_SECONDS).items():
            try:
                found[resource.name] = {name: str(one.value) for name, one in answer.result(_SECONDS).items()}
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise
    return found


def _hidden(topics: Sequence[str]) -> Finding:
    return Finding(
        "kafka-rights",
        f"without the right DescribeConfigs on {_some(topics)}, whose settings cannot be looked at",
        False,
        advice=True,
        fix="The capture does without it.  With it, retention and the like can be compared with the settings.",
    )


def _creation(
    settings: Settings, admin: AdminClient, names: TopicNames, counts: Mapping[str, int]
) -> Iterator[Finding]:
    """The broker looks at what it is asked for and makes nothing."""
    own = settings.topics
    config = {"cleanup.policy": own.cleanup_policy, "retention.ms": str(own.retention_ms)}
    data, checkpoint = names.data_topic("preflight", "probe"), names.checkpoint_topic(settings.source.name)
    wanted = [
        NewTopic(data, own.partitions, own.replication_factor, config=config),
        NewTopic(checkpoint, 1, own.replication_factor, config=dict(checkpoints.TOPIC_CONFIG)),
    ]
    asked = [one for one in wanted if one.topic not in counts]
    refused = [] if not asked else _refusals(admin, asked)
    yield Finding(
        "kafka-create",
        "; ".join(refused) or f"Kafka would make topics such as {data}",
        not refused,
        fix="See [topics] in the settings, and, with ACLs, the right Create on the prefix.",
    )


def _refusals(admin: AdminClient, asked: list[NewTopic]) -> list[str]:
    found = []
    for name, answer in admin.create_topics(asked, validate_only=True, request_timeout=_SECONDS).items():
        try:
            answer.result(_SECONDS)
        except KafkaException as error:
            found.append(f"Kafka would not make {name}: {error.args[0].str()}")
    return found


def _rights(admin: AdminClient, topics: Sequence[str], checkpoint: str | None) -> Iterator[Finding]:
    needed = {name: {AclOperation.WRITE} for name in topics}
    if checkpoint is not None:
        needed[checkpoint] = {AclOperation.WRITE, AclOperation.READ}
    lacking: dict[str, list[str]] = defaultdict(list)
    for name, allowed in _allowed(admin, list(needed)):
        for right in needed[name] - allowed:
            lacking[right.name.capitalize()].append(name)
    yield Finding(
        "kafka-rights",
        "; ".join(f"without the right {right} on {_some(of)}" for right, of in sorted(lacking.items()))
        or f"the account may use the {len(needed)} topics that are there",
        not lacking,
        fix="Let an administrator allow it: kafka-acls.sh --add --allow-principal ... --operation ...",
    )


def _allowed(admin: AdminClient, topics: Sequence[str]) -> Iterator[tuple[str, set[AclOperation]]]:
    for first in range(0, len(topics), _AT_ONCE):
        asked = TopicCollection(list(topics[first : first + _AT_ONCE]))
        answers = admin.describe_topics(asked, include_authorized_operations=True, request_timeout=_SECONDS)
        for name, answer in answers.items():
            operations = answer.result(_SECONDS).authorized_operations
            if operations:  # brokers before 2.3 tell nothing
                yield name, set(operations)


def _checkpoint_topic(name: str, partitions: int, config: Mapping[str, str]) -> Finding:
    policy = config["cleanup.policy"]
    return Finding(
        "checkpoint-topic",
        f"{name} has {partitions} partition{'s' * (partitions != 1)} and cleanup.policy={policy}",
        partitions == 1 and policy == "compact",
        advice=True,
        fix="It should have one, and be compacted only: the broker may remove the checkpoint otherwise.",
    )


def _retention(configs: Configs) -> Finding:
    """Records carry the time of the commit, so a broker deletes at once what is older than the retention."""
    short = {
        name: int(one["retention.ms"])
        for name, one in configs.items()
        if "delete" in one["cleanup.policy"] and 0 <= int(one["retention.ms"]) < _WEEK_MS
    }
    least = min(short.values(), default=0) / 3_600_000
    return Finding(
        "topic-retention",
        f"{_some(short)}: records are kept for {least:.1f} hours after the source's commit"
        if short
        else "records are kept for a week at the least",
        not short, advice=True,
        fix="A capture that is further behind would lose records to the broker.  Raise retention.ms of the topics.",
    )  # fmt: skip


def _cleanup(configs: Configs, wanted: str) -> Finding:
    others = [name for name, one in configs.items() if set(one["cleanup.policy"].split(",")) != set(wanted.split(","))]
    return Finding(
        "topic-cleanup",
        f"{_some(others)}: cleanup.policy is not {wanted}, as topics.cleanup_policy has it"
        if others
        else f"all topics have cleanup.policy={wanted}, as the settings",
        not others,
        advice=True,
        fix="Topics that are there are left as they are, and tombstones are written as the settings say."
        "\nSet topics.cleanup_policy to what they have, or alter the topics.",
    )


def _timestamps(configs: Configs) -> Finding:
    stamped = [name for name, one in configs.items() if one["message.timestamp.type"] != "CreateTime"]
    bounded = [
        name
        for name, one in configs.items()
        if int(one.get("message.timestamp.before.max.ms", _WEEK_MS)) < _WEEK_MS
        or int(one.get("message.timestamp.after.max.ms", _AT_LEAST_AHEAD_MS)) < _AT_LEAST_AHEAD_MS
    ]
    found = [f"{_some(stamped)}: times are the broker's, not the source's"] if stamped else []
    found += [f"{_some(bounded)}: the broker refuses records of other times than its own"] if bounded else []
    return Finding(
        "topic-timestamps",
        "; ".join(found) or "records keep the source's time",
        not found,
        advice=True,
        fix="Set message.timestamp.type=CreateTime, and no message.timestamp.before.max.ms, on the topics.",
    )


def _partitions(counts: Mapping[str, int], wanted: int) -> Finding:
    others = [name for name, count in counts.items() if count != wanted]
    return Finding(
        "topic-partitions",
        f"{_some(others)}: not {wanted} partitions, as topics.partitions has it"
        if others
        else f"all topics have {wanted} partitions, as the settings",
        not others,
        advice=True,
        fix="They are left as they are, and written to as they are.  The setting is for new topics only.",
    )


def _size(configs: Configs, wanted: int) -> Finding:
    small = [name for name, one in configs.items() if int(one["max.message.bytes"]) < wanted]
    return Finding(
        "topic-size",
        f"{_some(small)}: max.message.bytes is less than max_bytes of [[capture.rows]], {wanted}"
        if small
        else f"the topics of rows take records of {wanted} bytes",
        not small,
        advice=True,
        fix="Raise max.message.bytes of the topics, or lower max_bytes of [[capture.rows]].",
    )


def _some(names: Iterable[str]) -> str:
    all_of = list(names)
    further = f" and {len(all_of) - _SHOWN} more" if len(all_of) > _SHOWN else ""
    return ", ".join(all_of[:_SHOWN]) + further


def clock(settings: Settings, admin: AdminClient) -> Finding:
    """
    By a record that the broker puts its own time on, in a topic that is made for it and keeps nothing for long.

    Kafka tells nobody its time who only asks.
    """
    topic = TopicNames(settings.prefix).lock_topic(settings.source.name) + ".clock"
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"}
    ensure_topic(admin, topic, 1, settings.topics.replication_factor, config)
    told: list[Message] = []
    producer = Producer({**quiet(settings.kafka), "linger.ms": 0, "message.timeout.ms": _SECONDS * 1000})
    for _ in range(2):  # the first one connects
        began = time.time()
        producer.produce(topic, b"", on_delivery=lambda error, message: told.append(message))
        producer.flush(_SECONDS)
        ended = time.time()
    error = told[-1].error() if told else None
    if error is not None or not told:
        raise ConfigError(
            f"Kafka does not take a record into {topic}: {error.str() if error else 'no answer'}",
            fix="With ACLs the capture needs Write on the prefix.",
        )
    ahead = told[-1].timestamp()[1] / 1000 - (began + ended) / 2
    return clock_finding("kafka-clock", "Kafka", ahead, (ended - began) / 2)
