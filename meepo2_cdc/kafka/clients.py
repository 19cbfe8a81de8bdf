"""
Connecting to Kafka, with one clear error when nobody answers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.kafka.message import Message

ANSWER_SECONDS = 10.0
REQUEST_SECONDS = 30.0


_REFUSED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
)

_muted = logging.getLogger("librdkafka")
_muted.addHandler(logging.NullHandler())
_muted.propagate = False


def quiet(kafka: Mapping[str, str]) -> dict[str, Any]:
    """
    The options, without librdkafka's own lines on stderr: what they say comes back as errors too.

    Whoever sets `log_level` or `debug` wants to see them.  A client made so must be polled from time to time.
    """
    return dict(kafka) if {"log_level", "debug"} & kafka.keys() else {"logger": _muted, **kafka}


def connect(kafka: Mapping[str, str], answer_seconds: float = ANSWER_SECONDS) -> AdminClient:
    """An admin client of a cluster that has answered; raises Error with the last reason it heard."""
    heard: list[KafkaError] = []
    admin = AdminClient(quiet(kafka) | {"error_cb": heard.append})
    try:
        admin.list_topics(timeout=answer_seconds)
    except KafkaException as error:
        admin.poll(0)  # brings what error_cb has to hear
        raise _no_answer(kafka, [*heard, error.args[0]]) from error
    return admin


def _no_answer(kafka: Mapping[str, str], heard: list[KafkaError]) -> Error:
    telling = [one for one in heard if one.code() != KafkaError._ALL_BROKERS_DOWN]
    at = kafka.get("bootstrap.servers") or kafka.get("metadata.broker.list", "an address that is not set")
    kinds = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL}
    for one in telling:
        if one.code() in kinds:
            return ConfigError(
                f"Kafka at {at} refuses the connection: {one.str()}",
                fix="See security.protocol, sasl.* and ssl.* under [kafka], or MEEPO2_KAFKA_SASL_PASSWORD.",
            )
    return Error(
        f"Kafka at {at} does not answer: {telling[0].str()}",
        fix="Set MEEPO2_KAFKA_BOOTSTRAP_SERVERS, --bootstrap-servers or [kafka] bootstrap.servers.",
    )


def is_final(error: KafkaError) -> bool:
    """Whether a consumer's error needs a person; brokers that are away, say, librdkafka tries again by itself."""
    return error.fatal() or error.code() in _REFUSED


def read_some(consumer: Consumer, most: int, seconds: float) -> list[Message]:
    """
    What is there, as soon as there is one; events among them have an `error()`.

    `consume` alone would wait for all of `most` until `seconds` are over.
    """
    first = consumer.poll(seconds)
    if first is None:
        return []
    return cast(list[Message], [first, *consumer.consume(most - 1, 0)] if most > 1 else [first])
