"""
A message as it was read from a topic.

confluent_kafka's own, whose hints allow for messages that were never sent; tests and in-memory feeds have others.
"""

from __future__ import annotations

from typing import Any, Protocol

from confluent_kafka import KafkaError


class Message(Protocol):
    """Bytes with their place; `error()` tells an event in the stream from a message."""

    def topic(self) -> str: ...

    def partition(self) -> int: ...

    def offset(self) -> int: ...

    def key(self) -> bytes | None: ...

    def value(self) -> bytes | None: ...

    def headers(self) -> Any: ...

    def error(self) -> KafkaError | None: ...
