"""
The synchronisation of Elasticsearch: each row of the source as a document, in an index for each table.

Knows which rows changed and what they are now; knows nothing of what they were, nor of how they are searched.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.elasticsearch_sync.ids import encoded
from meepo2_connectors.elasticsearch_sync.settings import Settings
from meepo2_connectors.elasticsearch_sync.sink import IndexingSink
from meepo2_connectors.elasticsearch_sync.verify import IndexReplica

__all__ = ["connector", "encoded"]

connector = Connector(
    summary="Elasticsearch: each row as a document, in an index for each table.",
    settings=Settings,
    sink=IndexingSink,
    coalesce=True,
    replica=IndexReplica,
)
