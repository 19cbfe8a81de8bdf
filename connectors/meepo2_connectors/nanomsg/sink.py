"""
A publishing socket; nng's may be used by several threads at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pynng

from meepo2_cdc.errors import ConfigError
from meepo2_cdc.records import TableAction
from meepo2_cdc.records.telling import as_text, as_topic_and_json
from meepo2_connectors.nanomsg.settings import Settings


class NanomsgSink:
    """Sending never waits and never fails: a subscriber that is away or full misses the message."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._form = as_text if settings.format == "text" else as_topic_and_json

    def open(self) -> None:
        self._socket = pynng.Pub0(send_buffer_size=self._settings.send_buffer_messages)
        try:
            _attach(self._socket, self._settings)
        except ConfigError:
            self._socket.close()
            raise

    def apply(self, batch: Sequence[TableAction]) -> None:
        qualified = self._settings.qualified
        for record in batch:
            self._socket.send(self._form(record, qualified=qualified).encode())

    def close(self) -> None:
        time.sleep(self._settings.linger_seconds)
        self._socket.close()


def _attach(socket: pynng.Pub0, settings: Settings) -> None:
    try:
        if settings.bind is not None:
            socket.listen(settings.bind)
        elif settings.connect is not None:
            socket.dial(settings.connect, block=False)
    except pynng.NNGException as error:
        name, address = ("bind", settings.bind) if settings.bind is not None else ("connect", settings.connect)
        raise ConfigError(
            f"nanomsg.{name} is {address!r}, which cannot be used: {error}",
            fix="Expected a free address of this machine such as tcp://0.0.0.0:5557 to bind, "
            "or tcp://host:5557 to connect.",
        ) from error
