"""
Posts changes to an HTTP endpoint as CloudEvents 1.0, signed.

Knows nothing of who receives them; an answer of 2xx is the acknowledgement.
"""

from meepo2_cdc.replay.sink import Connector
from meepo2_connectors.webhook.settings import Settings
from meepo2_connectors.webhook.sink import WebhookSink

connector = Connector(
    summary="Post changes to an HTTP endpoint as CloudEvents, signed with HMAC.",
    settings=Settings,
    sink=lambda own, context: WebhookSink(own, context.prefix),
    coalesce=False,
)
