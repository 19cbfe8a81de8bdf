"""
Puts jobs into a queue of python-rq: a function of yours is called with a table, an action and a list of keys.

Knows the function by its name only; the workers that call it are rq's.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.rq.settings import Settings
from meepo2_connectors.rq.sink import RqSink

connector = Connector(
    summary="Put jobs with lists of changed keys into a queue of python-rq.",
    settings=Settings,
    sink=lambda own, context: RqSink(own, context.prefix),
    coalesce=False,
)
