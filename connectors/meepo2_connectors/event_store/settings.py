"""
What can be set of the event store.
"""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator, model_validator

from meepo2_cdc.replay.sink import ConnectorSettings
from meepo2_connectors.event_store.store import RETENTION_SECONDS, TIMEOUT_SECONDS
from meepo2_connectors.redis_target import connect


class Settings(ConnectorSettings):
    """The section [event_store]."""

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    """Where Redis is: redis://user:password@host:port/database, rediss:// with TLS, or unix:///path?db=0."""
    namespace: str | None = None
    """First part of every key, taken literally: `<prefix>:event_store` unless given."""
    namespace_time: str = ""
    """A form of strftime, such as %Y%m%d: the time of each record in UTC is put behind the namespace in that form,
    which makes a set for each day. One set for all times unless given."""
    with_schema: bool = True
    """Whether events are named shop.user_write. With false they are named user_write, as by meepo2, and tables of
    one name in several schemas share their events."""
    retention_seconds: int = Field(default=RETENTION_SECONDS, ge=0)
    """How long the time of a key is kept, counted from that time; 0 keeps it for ever. Three days, as meepo2 meant
    it, are enough to find what a cache missed, and not more than Kafka usually holds."""
    timeout_seconds: float = Field(default=TIMEOUT_SECONDS, gt=0)
    """How long Redis is waited for, to connect and to answer, before the records come again later."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: SecretStr) -> SecretStr:
        connect(url.get_secret_value(), TIMEOUT_SECONDS).close()
        return url

    @model_validator(mode="after")
    def _ends(self) -> Settings:
        if self.namespace_time and not self.retention_seconds:
            raise ValueError("namespace_time needs retention_seconds above 0: else there is no end of sets to read")
        return self
