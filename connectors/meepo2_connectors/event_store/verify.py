"""
Which of the source's keys the event store has never heard of.

It has keys with a time and no rows, and a key that the source has no more stays with its events; so nothing but a
missing key can be told, one that was neither written nor updated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog

from meepo2_cdc.records import KeyPart
from meepo2_cdc.replay.sink import Context, Difference
from meepo2_connectors.event_store.names import event_name
from meepo2_connectors.event_store.settings import Settings
from meepo2_connectors.event_store.sink import namespace_of
from meepo2_connectors.event_store.store import EventStore
from meepo2_connectors.redis_target import greet, translating

log = structlog.get_logger()

Key = tuple[KeyPart, ...]


class EventReplica:
    """With a retention, keys that did not change within it are gone on purpose; nobody can tell them from lost ones."""

    def __init__(self, own: Settings, context: Context) -> None:
        self._own = own
        self._store = EventStore(
            own.url.get_secret_value(),
            namespace=namespace_of(own, context.prefix),
            retention=own.retention_seconds or None,
            timeout_seconds=own.timeout_seconds,
        )

    def open(self) -> None:
        greet(self._store.redis)
        if self._own.retention_seconds:
            log.warning(
                "Keys that did not change within the retention are told as missing too",
                retention_seconds=self._own.retention_seconds,
            )

    def close(self) -> None:
        self._store.close()

    def place(self, schema: str, table: str) -> str:
        """Of keys that several tables share, none is told as too many."""
        return f"{schema}.{table}"

    def left_out(self, schema: str, table: str) -> str:
        return ""

    def differing(self, schema: str, table: str, rows: Mapping[Key, Mapping[str, Any] | None]) -> dict[Key, Difference]:
        schema = schema if self._own.with_schema else ""
        events = [event_name(schema, table, action) for action in ("write", "update")]
        pks = [pk for pk, row in rows.items() if row is not None]
        with translating(self._store.redis):
            known = self._store.known(events, pks)
        return {pk: Difference("missing") for pk in pks if pk not in known}

    def keys(self, schema: str, table: str) -> Iterator[Sequence[Key]]:
        return iter(())
