"""
Signals in this process: functions of yours are called with the keys of changed rows, or the changes are printed.

Knows nothing of networks.  The signals themselves are in `meepo2_cdc.signals`.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.signals.settings import Settings
from meepo2_connectors.signals.sink import SignalsSink

connector = Connector(
    summary="Call functions of this process, as blinker signals named like user_write, or print the changes.",
    settings=Settings,
    sink=lambda own, context: SignalsSink(own),
    coalesce=False,
    rows=lambda own: own.raw,
)
