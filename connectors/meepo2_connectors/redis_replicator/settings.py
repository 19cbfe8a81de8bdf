"""
What can be set of the replicator into Redis.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from meepo2_cdc.replay.sink import ConnectorSettings
from meepo2_connectors.redis_replicator.keys import RowNames
from meepo2_connectors.redis_target import connect


class Settings(ConnectorSettings):
    """The section [redis_replicator]."""

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    """Where Redis is: redis://user:password@host:port/database, rediss:// with TLS, or unix:///path?db=0."""
    mode: Literal["hash", "json", "invalidate"] = "hash"
    """What becomes of a changed row: a hash with a field for each column, a JSON text, or nothing but the removal of
    its key, so that a program that fills the cache by itself reads the row anew; this needs no [source]."""
    namespace: str | None = None
    """What {namespace} in `key` stands for, taken literally: the prefix of the topics unless given."""
    key: str = "{namespace}:{schema}.{table}:{pk}"
    """The name of a row: a template of {namespace}, {schema}, {table} and, at its end, {pk}. Without {schema}, tables
    of one name in several schemas must not be replicated together."""
    expire_seconds: int | None = Field(default=None, gt=0)
    """How long a row stays that does not change; for ever unless given."""
    guard_seconds: int = Field(default=300, ge=1)
    """How long Redis remembers by which record a row was written, and the longest time from reading a row to writing
    it. Longer costs memory, about 150 bytes for each row that changed meanwhile; shorter than the source takes to
    answer makes reading begin anew."""
    timeout_seconds: float = Field(default=5.0, gt=0)
    """How long Redis is waited for, to connect and to answer, before the records come again later."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: SecretStr) -> SecretStr:
        connect(url.get_secret_value(), 1).close()
        return url

    @field_validator("key")
    @classmethod
    def _is_a_template(cls, key: str) -> str:
        RowNames(key, "")
        return key
