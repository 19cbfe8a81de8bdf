"""
The settings of the connector `zmq`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from meepo2_cdc.replay.sink import ConnectorSettings


class Settings(ConnectorSettings):
    """Where and how changes are published."""

    bind: str | None = None
    """Address on which subscribers find this publisher, such as tcp://*:5556 or ipc:///run/meepo2.sock. Either this or
    connect."""
    connect: str | None = None
    """Address of the frontend of a proxy to which several publishers connect, in place of bind."""
    format: Literal["text", "json"] = "text"
    """What follows the topic in a message: text, the key alone as meepo2 sent it; json, the whole record, in which
    every key can be told from every other."""
    qualified: bool = False
    """Whether topics name the schema: shop.user_write in place of user_write."""
    high_water_mark: int = Field(default=10_000, ge=1)
    """Most messages that wait for one subscriber in this process; ZeroMQ's own 1,000 are two batches."""
    when_full: Literal["wait", "drop"] = "wait"
    """What happens when so many wait for a subscriber: wait, nobody is told more until it has caught up, and the lag of
    the consumer group shows it; drop, it alone misses messages, and nothing shows it."""
    wait_for_subscriber: bool = False
    """Whether nothing is published before anybody has subscribed to something; what is published to nobody is lost."""
    linger_seconds: float = Field(default=5, ge=0, allow_inf_nan=False)
    """How long a stop waits for messages that subscribers have not taken yet."""

    @model_validator(mode="after")
    def _one_address(self) -> Settings:
        if (self.bind is None) == (self.connect is None):
            raise ValueError("zmq.bind and zmq.connect: exactly one must be set")
        return self
