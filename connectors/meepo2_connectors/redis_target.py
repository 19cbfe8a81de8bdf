"""
Redis, as the connectors that write to it meet it: how it is reached, and what its failures mean.

Away, starting, full, read-only or busy is TryAgain: Redis as a whole takes nothing now, and will again.  An account
that may not is for a person (ConfigError).  Knows nothing of records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from meepo2_cdc.errors import ConfigError, Error
from meepo2_cdc.replay.sink import TryAgain

LEAST_VERSION = (6, 2)
"""The first with ZADD GT."""

_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
)
_REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
# For these the client has no class of its own, or not in each of its versions; inside of a script's error the code
# stands further back.
_NOT_NOW = re.compile(r"(^|[ -])(OOM|BUSY|LOADING|MISCONF|READONLY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN) ")


def connect(url: str, timeout_seconds: float) -> Redis:
    """
    A client that has not connected yet; raises ValueError for what is no address, without repeating it.

    It tries nothing twice by itself: how long a target is waited for is up to whoever applies records.
    """
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise ValueError("expected redis://[user:password@]host[:port][/database], or rediss:// or unix://") from None


def name_of(client: Redis) -> str:
    """How messages name it: without account and password."""
    given = client.connection_pool.connection_kwargs
    place = given.get("path") or f"{given.get('host', 'localhost')}:{given.get('port', 6379)}"
    return f"Redis at {place}"


def greet(client: Redis) -> None:
    """Connects, and raises ConfigError where what answers is not what is needed."""
    with translating(client):
        version = str(client.info("server")["redis_version"])
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise ConfigError(f"{name_of(client)} is version {version}; {least} or newer is needed")


def answers(pipeline: Any) -> list[Any]:
    """What each command of a pipeline gave; raises the first error as Redis said it, without the command's values."""
    given: list[Any] = pipeline.execute(raise_on_error=False)
    for one in given:
        if isinstance(one, Exception):
            raise one
    return given


@contextmanager
def translating(client: Redis) -> Iterator[None]:
    """Errors of the client, as what happens next."""
    try:
        yield
    except exceptions.RedisError as error:
        raise _translated(error, name_of(client)) from error


def _translated(error: exceptions.RedisError, name: str) -> Exception:
    if isinstance(error, _REFUSED):
        return ConfigError(
            f"{name} refuses the account: {error}",
            fix="The connector's README names the commands that the account must be allowed.",
        )
    if isinstance(error, _AWAY) or type(error).__name__ == "OutOfMemoryError" or _NOT_NOW.search(str(error)):
        return TryAgain(f"{name}: {error}")
    return Error(f"{name} answered what was not expected: {error}")
