"""
Publishes each change on a nanomsg PUB socket (Scalability Protocols, by nng), as meepo2 did: `user_write 1`, or JSON.

Whoever is not connected or does not keep up is not told, and nobody learns of it.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.nanomsg.settings import Settings
from meepo2_connectors.nanomsg.sink import NanomsgSink

connector = Connector(
    summary="Publish each change on a nanomsg PUB socket, as `user_write 1` or as JSON.",
    settings=Settings,
    sink=lambda own, context: NanomsgSink(own),
    coalesce=False,
)
