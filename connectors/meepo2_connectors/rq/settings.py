"""
The settings of the connector `rq`.
"""

from __future__ import annotations

from pydantic import Field, SecretStr

from meepo2_cdc.replay.sink import ConnectorSettings


class Settings(ConnectorSettings):
    """Which function is to be called, and where jobs wait."""

    function: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
    """Function that the workers call as f(table, action, pks), such as myapp.jobs.refresh."""
    url: SecretStr = SecretStr("redis://localhost:6379/0")
    """Address of the Redis server, redis://user:password@host:port/database or rediss:// for TLS. Secret."""
    queue: str = Field(default="default", min_length=1)
    """Name of the queue; rq's own default."""
    job_timeout_seconds: int = Field(default=180, ge=1)
    """How long a job may run before rq ends it."""
    result_ttl_seconds: int = Field(default=500, ge=1)
    """How long rq keeps a job that is done; for as long a batch that comes again is known to be enqueued already."""
    failure_ttl_seconds: int = Field(default=31_536_000, ge=1)
    """How long rq keeps a job that failed; a year, as by default."""
    timeout_seconds: float = Field(default=10, gt=0, allow_inf_nan=False)
    """How long Redis may take to answer."""
