"""
Which topic of a name it is: Kafka gives each that is made an id of its own.

The offsets of a topic that was deleted and made anew begin at 0 again.  A position of the old one would pass over
records of the new one in silence, so each committed offset carries the id of the topic that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

_MARK = "topic "
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID, KafkaError._UNKNOWN_TOPIC)


def topic_ids(admin: AdminClient, topics: Iterable[str], seconds: float) -> dict[str, str]:
    """The ids of those that exist."""
    wanted = sorted(set(topics))
    found = {}
    for topic, answer in admin.describe_topics(TopicCollection(wanted), request_timeout=seconds).items():
        try:
            found[topic] = str(answer.result(seconds).topic_id)
        except KafkaException as error:
            if error.args[0].code() not in _GONE:
                raise
    return found


def mark(topic_id: str | None) -> str:
    """What is committed beside an offset."""
    return f"{_MARK}{topic_id}" if topic_id else ""


def belongs(metadata: str | None, topic_id: str | None) -> bool:
    """Whether an offset with such metadata is one of this topic; offsets that tools have set carry none, and are."""
    told = (metadata or "").startswith(_MARK)
    return not told or topic_id is None or metadata == mark(topic_id)
