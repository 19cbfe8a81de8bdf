"""
Publishes each change on a ZeroMQ PUB socket, as meepo2 did: `user_write 1`, or with the record as JSON.

Whoever is not connected is not told, and nobody learns of it: what ZeroMQ loses, it loses in silence.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.zmq.settings import Settings
from meepo2_connectors.zmq.sink import ZmqSink

connector = Connector(
    summary="Publish each change on a ZeroMQ PUB socket, as `user_write 1` or as JSON.",
    settings=Settings,
    sink=lambda own, context: ZmqSink(own),
    coalesce=False,
)
