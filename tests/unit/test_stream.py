"""
The dump's bytes as events: packets of every size, in whatever pieces they come.
"""

from __future__ import annotations

import socket
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from meepo2_cdc.capture.binlog.connection import Dump
from meepo2_cdc.capture.binlog.stream import BinlogStream, Event
from meepo2_cdc.errors import SourceUnavailable

FULL = 0xFFFFFF


def packets(event: bytes) -> bytes:
    """As the protocol cuts what is 16 MiB and more: full packets, then one that is shorter, perhaps empty."""
    payload = b"\x00" + event
    cut = [payload[at : at + FULL] for at in range(0, len(payload) + 1, FULL)]
    return b"".join(struct.pack("<I", len(one))[:3] + bytes([n & 255]) + one for n, one in enumerate(cut))


def event(size: int) -> bytes:
    return struct.pack("<IBIIIH", 1, 30, 1, size + 19, 4, 0) + b"x" * size


@contextmanager
def sent(raw: bytes) -> Iterator[Iterator[Event | None]]:
    """The events that a stream makes of bytes which somebody sends and then closes."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with suppress(BrokenPipeError):  # a test that failed has closed its end
            theirs.sendall(raw)
        theirs.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield BinlogStream(Dump(SimpleNamespace(_sock=ours), 0), "db:3306", 10).events()
    finally:
        ours.close()
        thread.join(10)


def taken(events: Iterator[Event | None], count: int) -> list[Event]:
    found: list[Event] = []
    while len(found) < count:
        one = next(events)
        if one is not None:
            found.append(one)
    return found


@pytest.mark.parametrize("size", [0, 100, 70_000, FULL - 21, FULL - 20, FULL - 19, 2 * FULL - 20, 2 * FULL + 5])
def test_an_event_of_any_size_is_one_event_and_the_next_one_follows(size: int):
    """At exactly 16 MiB an empty packet ends the event; who forgets it takes the next event for its rest."""
    with sent(packets(event(size)) + packets(event(3))) as events:
        first, second = taken(events, 2)
        assert (first.end - first.start, second.end - second.start) == (size, 3)
        assert bytes(first.buf[first.start : first.end]) == b"x" * size
        with pytest.raises(SourceUnavailable, match="closed"):
            taken(events, 1)


def test_a_large_event_is_in_memory_once():
    """A compressed transaction may be a gigabyte; twice that is more than a capture is given."""
    size = 96 << 20
    raw = packets(event(size))
    with sent(raw) as events:
        tracemalloc.start()
        try:
            (large,) = taken(events, 1)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert large.end - large.start == size
    assert peak < 1.6 * size
