"""
Servers that a test owns and may harm, and the scenes on them.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest

from tests.command import until
from tests.proxy import Proxy
from tests.scenes import Scene, Server
from tests.services import native

LONG = bool(float(os.environ.get("MEEPO2_FAULT_SECONDS", "0")))
MINUTE_SECONDS = 60
ACCOUNT, PASSWORD = "cdc", "of-a-test"


@dataclass(frozen=True, slots=True)
class Owned:
    """A source server: its process, and what it answers."""

    process: native.PrivateServer
    server: Server


@dataclass(frozen=True, slots=True)
class OwnedKafka:
    """A broker, and the link to it that can be disturbed."""

    process: native.PrivateKafka
    proxy: Proxy

    @property
    def proxied(self) -> str:
        return f"127.0.0.1:{self.proxy.port}"


OwnedSources = Callable[[str], Owned]


@contextmanager
def fresh_scene(server: Server, kafka: str) -> Iterator[Scene]:
    """A scene before which the log holds nothing, so that the oracle has little to read."""
    server.run("FLUSH BINARY LOGS")
    server.run(f"PURGE BINARY LOGS TO '{server.end().split(':')[0]}'")
    with closing(Scene(server, kafka, f"f{uuid.uuid4().hex[:12]}")) as made:
        yield made


def purge_until_the_last(scene: Scene) -> None:
    """MariaDB keeps a file for a moment, until its engine has all of it."""
    newest = scene.server.end().split(":")[0]

    def purged() -> bool:
        scene.run(f"PURGE BINARY LOGS TO '{newest}'")
        return len(scene.ask("SHOW BINARY LOGS")) == 1

    until(purged, f"{newest} is the oldest file")


def wait_out(began: float) -> None:
    """In a long run, until a minute is over since `began`."""
    if LONG:
        until(lambda: time.monotonic() - began > MINUTE_SECONDS, "the minute is over", 2 * MINUTE_SECONDS)


either = pytest.mark.parametrize("owned", ["mysql", "mariadb"], indirect=True)
"""On both kinds of server."""


def in_turn(flavor: str) -> pytest.MarkDecorator:
    """On one kind of server in CI, on both in a long run."""
    return pytest.mark.parametrize("owned", ["mysql", "mariadb"] if LONG else [flavor], indirect=True)
