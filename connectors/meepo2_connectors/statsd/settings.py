"""
The settings of the connector `statsd`.
"""

from __future__ import annotations

from pydantic import Field

from meepo2_cdc.replay.sink import ConnectorSettings


class Settings(ConnectorSettings):
    """Where and under what names changes are counted."""

    host: str = "localhost"
    """Host of the statsd server."""
    port: int = Field(default=8125, ge=1, le=65535)
    """Its UDP port."""
    ipv6: bool = False
    """Whether the host is looked up as an IPv6 address; IPv4 otherwise."""
    prefix: str = Field(default="meepo2.stats", pattern=r"^[A-Za-z0-9_.-]+$")
    """First part of the counters' names."""
    qualified: bool = False
    """Whether names have the schema: meepo2.stats.shop.user.write in place of meepo2.stats.user.write."""
    rate: float = Field(default=1, gt=0, le=1)
    """Part of the changes that is reported, chosen at random; the server is told and multiplies."""
    datagram_bytes: int = Field(default=1432, ge=64, le=65_000)
    """Most bytes in one datagram; the default fits into an Ethernet frame, 512 are safe across the internet."""
