"""
What a Redis is at times: away, starting, full, read-only, busy.  A sink must then say TryAgain, and succeed afterwards.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from redis import Redis, exceptions

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import Sink, TryAgain
from tests.command import until
from tests.services import native

Server = native.PrivateRedis
OPTIONS = {"busy-reply-threshold": "50", "enable-debug-command": "local"}
"""With which the server is to be started."""
SHORT_TIMEOUT_SECONDS = 0.5


@contextmanager
def _killed(server: Server) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def _frozen(server: Server) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    yield
    os.kill(server.pid, signal.SIGCONT)


@contextmanager
def _set(server: Server, name: str, value: str) -> Iterator[None]:
    with closing(Redis.from_url(server.url)) as redis:
        before = redis.config_get(name)[name]
        redis.config_set(name, value)
        yield
        redis.config_set(name, before)


def _full(server: Server) -> AbstractContextManager[None]:
    return _set(server, "maxmemory", "1")


def _without_replicas(server: Server) -> AbstractContextManager[None]:
    return _set(server, "min-replicas-to-write", "1")


@contextmanager
def _read_only(server: Server) -> Iterator[None]:
    """A replica, of nobody."""
    with closing(Redis.from_url(server.url)) as redis:
        redis.replicaof("127.0.0.1", "1")
        yield
        redis.replicaof("NO", "ONE")


@contextmanager
def _busy(server: Server) -> Iterator[None]:
    """Somebody's script does not end."""
    with closing(Redis.from_url(server.url, socket_timeout=60)) as one, closing(Redis.from_url(server.url)) as other:
        thread = threading.Thread(target=_run_until_killed, args=(one,))
        thread.start()
        until(lambda: _says_busy(other), "a script runs")
        yield
        other.script_kill()
        thread.join()


def _run_until_killed(redis: Redis) -> None:
    with contextlib.suppress(exceptions.ResponseError):
        redis.eval("while true do end", 0)


def _says_busy(redis: Redis) -> bool:
    try:
        redis.get("x")
    except exceptions.ResponseError as error:
        return "BUSY" in str(error)
    return False


@contextmanager
def _loading(server: Server) -> Iterator[None]:
    """It has much to read before it begins, and takes its time."""
    with closing(Redis.from_url(server.url)) as redis:
        redis.execute_command("DEBUG", "POPULATE", 20000, f"{id(server)}")
        redis.bgrewriteaof()
        until(lambda: redis.info("persistence")["aof_rewrite_in_progress"] == 0, "its log is written anew")
        redis.config_set("loading-process-events-interval-bytes", "1024")
        redis.config_set("key-load-delay", "2000")
        reload = threading.Thread(target=_reload, args=(server,))
        reload.start()
        until(lambda: _says_loading(redis), "it loads")
        yield
        redis.config_set("key-load-delay", "0")
        reload.join()


def _reload(server: Server) -> None:
    with closing(Redis.from_url(server.url, socket_timeout=60)) as redis:
        redis.execute_command("DEBUG", "LOADAOF")


def _says_loading(redis: Redis) -> bool:
    try:
        redis.get("x")
    except exceptions.BusyLoadingError:
        return True
    return False


TROUBLES: dict[str, Callable[[Server], AbstractContextManager[None]]] = {
    "killed": _killed,
    "frozen": _frozen,
    "full": _full,
    "read-only": _read_only,
    "without replicas": _without_replicas,
    "busy": _busy,
    "loading": _loading,
}


def expect_patience(server: Server, trouble: str, sink: Sink, batch: list[TableAction]) -> None:
    """The batch must come again as a whole, and is applied when it does."""
    with TROUBLES[trouble](server):
        with pytest.raises(TryAgain) as caught:
            sink.apply(batch)
        assert not caught.value.records, "a Redis that takes nothing concerns all records"
    sink.apply(batch)


@contextmanager
def account(server: Server, rules: str) -> Iterator[str]:
    """The URL of an account with these rights and the password `secret-of-a-test`."""
    with closing(Redis.from_url(server.url)) as redis:
        redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">secret-of-a-test", *rules.split())
        yield server.url.replace("redis://", "redis://limited:secret-of-a-test@")
        redis.execute_command("ACL", "DELUSER", "limited")


def expect_complaint(sink: Sink, batch: list[TableAction]) -> None:
    """A person is told, without the password."""
    with pytest.raises(ConfigError) as caught:
        _use(sink, batch)
    assert "secret-of-a-test" not in str(caught.value)


def _use(sink: Sink, batch: list[TableAction]) -> None:
    sink.open()
    try:
        sink.apply(batch)
    finally:
        sink.close()
