"""
The dump's bytes as log events.

Reads large pieces from the socket and cuts them into packets without copying; knows the event header and nothing of
what is behind it.  Source of the formats: MySQL protocol documentation ("Packets"), libbinlogevents
binlog_event.h (header of 19 bytes).
"""

from __future__ import annotations

import io
import select
import ssl
import struct
import time
from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

import pymysql

from meepo2_cdc.capture.binlog.connection import Dump, translated
from meepo2_cdc.errors import SourceUnavailable

_PIECE_BYTES = 1 << 18
TICK_MS, BUSY_TICK_MS = 200, 2
_FULL_PACKET = 0xFFFFFF
_header = struct.Struct("<xIBIIIH").unpack_from
_length = struct.Struct("<I").unpack_from
FORMAT_DESCRIPTION = 15
ARTIFICIAL = 0x20  # LOG_EVENT_ARTIFICIAL_F: made by the server for this dump, not in its file


class Event(NamedTuple):
    """One event: its header's fields, and its body as buf[start:end], without the checksum."""

    kind: int
    timestamp: int
    server_id: int
    size: int
    end_position: int
    flags: int
    buf: bytes
    start: int
    end: int


class EventStream(Protocol):
    """
    Events of a log, in its order; `heard_at` is when its server last sent anything, by the monotonic clock, and
    `tick_ms` how often an idle stream says that it is.
    """

    heard_at: float
    tick_ms: int

    def events(self) -> Iterator[Event | None]:
        """Events as they come; None when no more are waiting, and again from time to time while none come."""


class BinlogStream:
    """
    The EventStream of one dump.

    Raises SourceUnavailable when the connection ends or stays silent for `silence_seconds`, and what the server's
    error packets mean otherwise.
    """

    def __init__(self, dump: Dump, server: str, silence_seconds: float) -> None:
        self._socket = dump.socket
        self._socket.setblocking(False)
        self._checksum_bytes = dump.checksum_bytes
        self._server = server
        self._silence_ms = max(2 * TICK_MS, silence_seconds * 1000)
        self.tick_ms = TICK_MS
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self.heard_at = time.monotonic()

    def events(self) -> Iterator[Event | None]:
        """None is yielded when no more bytes are waiting, and again each `tick_ms`."""
        buf, at = b"", 0
        new, header = tuple.__new__, _header  # one event in a few hundred nanoseconds
        while True:
            size = len(buf)
            while size - at >= 4:
                length = _length(buf, at)[0] & _FULL_PACKET
                end = at + 4 + length
                if end > size or length == _FULL_PACKET:
                    break
                first = at + 4
                if buf[first] or buf[first + 5] == FORMAT_DESCRIPTION:
                    yield self._event(buf, first, end)
                else:
                    timestamp, kind, server_id, event_size, end_position, flags = header(buf, first)
                    stop = end - self._checksum_bytes
                    yield new(
                        Event,
                        (kind, timestamp, server_id, event_size, end_position, flags, buf, first + 20, stop),
                    )
                at = end
            if size - at >= 4 and length == _FULL_PACKET:
                packet, buf, at = yield from self._large_packet(buf, at)
                yield self._event(packet, 0, len(packet))
                continue
            missing = length + 4 - (size - at) if size - at >= 4 else 4 - (size - at)
            buf, at = buf[at:] + (yield from self._read(missing)), 0

    def _event(self, buf: bytes, at: int, end: int) -> Event:
        if buf[at]:
            self._refuse(buf[at:end])
        timestamp, kind, server_id, size, end_position, flags = _header(buf, at)
        if kind == FORMAT_DESCRIPTION:
            # the last byte before its own checksum says whether the events that follow have one
            self._checksum_bytes = 4 if buf[end - 5] == 1 else 0
            return Event(kind, timestamp, server_id, size, end_position, flags, buf, at + 20, end - 5)
        return Event(kind, timestamp, server_id, size, end_position, flags, buf, at + 20, end - self._checksum_bytes)

    def _refuse(self, packet: bytes) -> None:
        if packet[0] == 0xFF:
            code = int.from_bytes(packet[1:3], "little")
            text = packet[9:] if packet[3:4] == b"#" else packet[3:]
            raise translated(pymysql.err.OperationalError(code, text.decode("utf-8", "replace")), self._server)
        raise SourceUnavailable(f"{self._server} ended the dump of its log")

    def _large_packet(self, buf: bytes, at: int) -> Generator[None, None, tuple[bytes, bytes, int]]:
        """
        An event of 16 MiB and more comes in several packets, the last of which is shorter.

        It may be a gigabyte, so it is gathered in place: pieces that are joined would be there twice.
        """
        whole = io.BytesIO()
        while True:
            while len(buf) - at < 4:
                buf, at = buf[at:] + (yield from self._read(4)), 0
            length = _length(buf, at)[0] & _FULL_PACKET
            have = len(buf) - at
            if have < 4 + length:
                buf, at = buf[at:] + (yield from self._read(4 + length - have)), 0
            whole.write(memoryview(buf)[at + 4 : at + 4 + length])
            at += 4 + length
            if length < _FULL_PACKET:
                return whole.getvalue(), buf, at

    def _read(self, least: int) -> Generator[None, None, bytes]:
        """At least so many bytes from the socket; yields None while there are none."""
        pieces: list[bytes] = []
        waited = 0
        while least > 0:
            try:
                piece = self._socket.recv(max(_PIECE_BYTES, least))
            except (BlockingIOError, ssl.SSLWantReadError):
                yield None
                waited = 0 if self._poll.poll(self.tick_ms) else waited + self.tick_ms
                if waited >= self._silence_ms:
                    raise SourceUnavailable(f"{self._server} is silent, not even its heartbeats come") from None
                continue
            except OSError as error:
                raise SourceUnavailable(f"the connection to {self._server} broke: {error}") from error
            if not piece:
                raise SourceUnavailable(f"{self._server} closed the connection")
            pieces.append(piece)
            least -= len(piece)
        self.heard_at = time.monotonic()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
