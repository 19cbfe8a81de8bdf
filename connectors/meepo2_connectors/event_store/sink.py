"""
Records into the event store.

A record's event is its table and action, its time that of the commit; so the store is the same whenever and however
often the topics are read.
"""

from __future__ import annotations

from collections.abc import Sequence

from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import Context
from meepo2_connectors.event_store.names import event_name
from meepo2_connectors.event_store.namespaces import Namespace, dated
from meepo2_connectors.event_store.settings import Settings
from meepo2_connectors.event_store.store import EventStore
from meepo2_connectors.redis_target import greet, translating


class EventStoreSink:
    """Adds a whole batch in one round trip."""

    def __init__(self, own: Settings, context: Context) -> None:
        self._store = EventStore(
            own.url.get_secret_value(),
            namespace=namespace_of(own, context.prefix),
            retention=own.retention_seconds or None,
            timeout_seconds=own.timeout_seconds,
        )
        self._with_schema = own.with_schema
        self._events: dict[tuple[str, str, str], str] = {}

    def open(self) -> None:
        greet(self._store.redis)

    def apply(self, batch: Sequence[TableAction]) -> None:
        with translating(self._store.redis):
            self._store.add_all([(self._event(one), one.pk, one.committed_at.timestamp()) for one in batch])

    def close(self) -> None:
        self._store.close()

    def _event(self, record: TableAction) -> str:
        known = record.schema, record.table, record.action.value
        event = self._events.get(known)
        if event is None:
            schema, table, action = known
            event = self._events[known] = event_name(schema if self._with_schema else "", table, action)
        return event


def namespace_of(own: Settings, prefix: str) -> Namespace:
    """The namespace that the settings mean."""
    name = f"{prefix}:event_store" if own.namespace is None else own.namespace
    return dated(name, own.namespace_time) if own.namespace_time else name
