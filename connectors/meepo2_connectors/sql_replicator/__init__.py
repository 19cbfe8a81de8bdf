"""
The replicator into SQL databases: each row of the source in a table of the target, as it is now.

Knows which rows changed and what they are now, never what they were: so it can be repeated from any offset.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.sql_replicator.settings import Settings
from meepo2_connectors.sql_replicator.sink import SqlSink
from meepo2_connectors.sql_replicator.verify import SqlReplica

__all__ = ["connector"]

connector = Connector(
    summary="PostgreSQL, MySQL, MariaDB, SQLite: each row in a table of the target.",
    settings=Settings,
    sink=SqlSink,
    coalesce=True,
    replica=SqlReplica,
)
