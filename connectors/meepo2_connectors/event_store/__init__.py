"""
The event store: when each key was last written, updated, deleted, in Redis.

Programs that missed something ask which keys changed since, and read those rows anew.  Each event of a table is a
sorted set of keys by time, so what was changed an hour ago costs no more to find than what was changed just now.
Knows keys and times; knows neither rows, nor how often or in what order one key changed.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.event_store.names import event_name
from meepo2_connectors.event_store.namespaces import dated
from meepo2_connectors.event_store.settings import Settings
from meepo2_connectors.event_store.sink import EventStoreSink
from meepo2_connectors.event_store.store import EventStore
from meepo2_connectors.event_store.verify import EventReplica

__all__ = ["EventStore", "connector", "dated", "event_name"]

# Coalescing would leave out the write in front of an update, which is an event of its own; the sink itself keeps of
# each event and key the newest only.
connector = Connector(
    summary="Redis sorted sets: which keys had which event, since when.",
    settings=Settings,
    sink=EventStoreSink,
    coalesce=False,
    replica=EventReplica,
)
