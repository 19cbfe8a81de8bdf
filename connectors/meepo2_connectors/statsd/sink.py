"""
Counters, those of a batch in as few datagrams as they fit into.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Sequence

from statsd import StatsClient

from meepo2_cdc.records import TableAction
from meepo2_cdc.replay.sink import TryAgain
from meepo2_connectors.statsd.settings import Settings

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


class StatsdSink:
    """
    One counter for each table and action, raised once a batch by the number of its changes.

    With a rate each change is drawn by itself, or a batch would be reported as a whole or not at all.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def open(self) -> None:
        own = self._settings
        try:
            self._client = StatsClient(own.host, own.port, own.prefix, own.datagram_bytes, own.ipv6)
        except socket.gaierror as error:
            raise TryAgain(f"the address of statsd.host {own.host!r} cannot be looked up: {error.strerror}") from error

    def apply(self, batch: Sequence[TableAction]) -> None:
        with self._client.pipeline() as pipeline:
            for name, count in Counter(map(self._name, batch)).items():
                if self._settings.rate == 1:
                    pipeline.incr(name, count)
                else:
                    for _ in range(count):
                        pipeline.incr(name, rate=self._settings.rate)

    def close(self) -> None:
        self._client.close()

    def _name(self, record: TableAction) -> str:
        parts = [record.schema] if self._settings.qualified else []
        return ".".join(_NO_NAME.sub("_", part) for part in (*parts, record.table, record.action.value))
