"""
A publishing socket, shared by all threads one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import zmq

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.telling import as_text, as_topic_and_json
from meepo2_cdc.replay.sink import TryAgain
from meepo2_connectors.zmq.settings import Settings

SEND_MS = 5_000
"""How long one message waits for a subscriber that does not keep up before the batch is given back."""
HEARTBEAT_MS, SILENCE_MS = 5_000, 20_000
"""A subscriber whose machine vanished would otherwise be waited for until TCP gives it up, hours later."""


class ZmqSink:
    """
    An XPUB socket, which to subscribers is PUB, and unlike it tells who subscribes.

    ZeroMQ sockets belong to one thread at a time; the lock sees to that.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._form = as_text if settings.format == "text" else as_topic_and_json
        self._lock = threading.Lock()
        self._subscriptions: set[bytes] = set()

    def open(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        for option, value in _options(self._settings).items():
            self._socket.setsockopt(option, value)
        try:
            _attach(self._socket, self._settings)
        except ConfigError:
            self._context.destroy(linger=0)
            raise

    def apply(self, batch: Sequence[TableAction]) -> None:
        qualified = self._settings.qualified
        frames = [self._form(record, qualified=qualified).encode() for record in batch]
        with self._lock:
            if not self._hear_subscriptions() and self._settings.wait_for_subscriber:
                raise TryAgain("nobody has subscribed")
            try:
                for frame in frames:
                    self._socket.send(frame)
            except zmq.Again as error:
                raise TryAgain("a subscriber does not keep up") from error

    def close(self) -> None:
        with self._lock:
            self._context.destroy()  # which waits for linger_seconds at most

    @property
    def subscribed(self) -> bool:
        """Whether anybody is to hear of anything."""
        with self._lock:
            return self._hear_subscriptions()

    def _hear_subscriptions(self) -> bool:
        """The first subscription to a topic begins with 1, the end of the last one with 0."""
        while self._socket.poll(0):
            told = self._socket.recv()
            if told[:1] == b"\x01":
                self._subscriptions.add(told[1:])
            else:
                self._subscriptions.discard(told[1:])
        return bool(self._subscriptions)


def _options(settings: Settings) -> dict[int, int]:
    """By IMMEDIATE the subscriptions of a proxy that went away end; ZeroMQ would keep them until it is back."""
    return {
        zmq.IMMEDIATE: settings.wait_for_subscriber,
        zmq.SNDHWM: settings.high_water_mark,
        zmq.XPUB_NODROP: settings.when_full == "wait",
        zmq.SNDTIMEO: SEND_MS,
        zmq.LINGER: int(settings.linger_seconds * 1000),
        zmq.HEARTBEAT_IVL: HEARTBEAT_MS,
        zmq.HEARTBEAT_TIMEOUT: SILENCE_MS,
        zmq.IPV6: 1,
    }


def _attach(socket: zmq.Socket[bytes], settings: Settings) -> None:
    try:
        if settings.bind is not None:
            socket.bind(settings.bind)
        elif settings.connect is not None:
            socket.connect(settings.connect)
    except zmq.ZMQError as error:
        name, address = ("bind", settings.bind) if settings.bind is not None else ("connect", settings.connect)
        raise ConfigError(
            f"zmq.{name} is {address!r}, which cannot be used: {error.strerror}",
            fix="Expected a free address of this machine such as tcp://*:5556 to bind, or tcp://host:5556 to connect.",
        ) from error
