"""
The settings of the connector `nanomsg`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from meepo2_cdc.replay.sink import ConnectorSettings


class Settings(ConnectorSettings):
    """Where and how changes are published."""

    bind: str | None = None
    """Address on which subscribers find this publisher, such as tcp://0.0.0.0:5557 or ipc:///run/meepo2.sock. Either
    this or connect."""
    connect: str | None = None
    """Address of a forwarder (a SUB socket that listens), in place of bind."""
    format: Literal["text", "json"] = "text"
    """What follows the topic in a message: text, the key alone as meepo2 sent it; json, the whole record, in which
    every key can be told from every other."""
    qualified: bool = False
    """Whether topics name the schema: shop.user_write in place of user_write."""
    send_buffer_messages: int = Field(default=8192, ge=1, le=8192)
    """Most messages that wait for one subscriber in this process, after which it misses messages, silently; nng's own
    default is 16, its limit 8,192."""
    linger_seconds: float = Field(default=0.5, ge=0, le=60, allow_inf_nan=False)
    """How long a stop waits before it closes the socket; closing drops what waits for subscribers, and nng does not
    tell whether anything does."""

    @model_validator(mode="after")
    def _one_address(self) -> Settings:
        if (self.bind is None) == (self.connect is None):
            raise ValueError("nanomsg.bind and nanomsg.connect: exactly one must be set")
        return self
