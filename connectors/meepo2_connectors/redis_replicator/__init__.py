"""
The replicator into Redis: each row of the source as a hash or a JSON text, or its key removed when the row changed.

Knows which rows changed and what they are now; knows nothing of what they were.
"""

from meepo2_cdc.replay.sink import Connector, Context, Sink
from meepo2_connectors.key_text import encoded
from meepo2_connectors.redis_replicator.keys import RowNames
from meepo2_connectors.redis_replicator.settings import Settings
from meepo2_connectors.redis_replicator.sink import InvalidatingSink, ReplicatingSink
from meepo2_connectors.redis_replicator.verify import RedisReplica

__all__ = ["RowNames", "connector", "encoded"]


def _sink(own: Settings, context: Context) -> Sink:
    return InvalidatingSink(own, context) if own.mode == "invalidate" else ReplicatingSink(own, context)


connector = Connector(
    summary="Redis: each row as a hash or JSON, or its key removed when it changed.",
    settings=Settings,
    sink=_sink,
    coalesce=True,
    replica=RedisReplica,
)
