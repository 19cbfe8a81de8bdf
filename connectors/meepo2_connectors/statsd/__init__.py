"""
Counts changes in statsd: `meepo2.stats.user.write` goes up by one with each inserted row.

Knows no keys, only how many.  By UDP, so nobody learns of a count that got lost.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.statsd.settings import Settings
from meepo2_connectors.statsd.sink import StatsdSink

connector = Connector(
    summary="Count the changes of each table in statsd.",
    settings=Settings,
    sink=lambda own, context: StatsdSink(own),
    coalesce=False,
)
