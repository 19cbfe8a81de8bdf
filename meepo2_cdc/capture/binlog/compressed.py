"""
Events inside of compressed ones.

- MySQL 8.0.20: a whole transaction in one event (libbinlogevents, codecs/binary.cpp, Transaction_payload), decompressed
  in pieces, so that it is never in memory as a whole.
- MariaDB (log_bin_compress): rows and statements, each compressed by itself (sql/log_event.cc,
  row_log_event_uncompress and query_event_uncompress).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import zstandard

from meepo2_cdc.capture.binlog import events as ev
from meepo2_cdc.capture.binlog.stream import Event
from meepo2_cdc.capture.binlog.tables import lenenc
from meepo2_cdc.errors import UnreadableData

_PIECE_BYTES = 1 << 18
_HEADER_BYTES = 19
_header = struct.Struct("<IBIIIH").unpack_from
_END_OF_FIELDS, _PAYLOAD_SIZE, _COMPRESSION, _UNCOMPRESSED_SIZE = range(4)
_ZSTD, _NONE = 0, 255


def payload_events(event: Event) -> Iterator[Event]:
    """
    The events of a transaction payload.  They have no checksum and no positions of their own: they get that of the
    payload, since reading can begin only there.
    """
    waiting: list[bytes] = []  # pieces of an event that is not there whole, joined once it is
    have, need = 0, _HEADER_BYTES
    for piece in _pieces(event):
        waiting.append(piece)
        have += len(piece)
        if have < need:
            continue
        buf, at = b"".join(waiting), 0
        while (size := _size_of_event(buf, at)) <= len(buf) - at:
            timestamp, kind, server_id, _, _, flags = _header(buf, at)
            start = at + _HEADER_BYTES
            yield Event(kind, timestamp, server_id, event.size, event.end_position, flags, buf, start, at + size)
            at += size
        waiting, have, need = [buf[at:]], len(buf) - at, size
    if have:
        raise UnreadableData("a transaction payload ends in the middle of an event")


def _size_of_event(buf: bytes, at: int) -> int:
    """At least a header, while even that is not there whole."""
    if len(buf) - at < _HEADER_BYTES:
        return _HEADER_BYTES
    size: int = _header(buf, at)[3]
    if size < _HEADER_BYTES:
        raise UnreadableData(f"a transaction payload holds an event of {size} bytes")
    return size


def _pieces(event: Event) -> Iterable[bytes]:
    buf, at, compression = event.buf, event.start, _NONE
    while True:
        field, at = lenenc(buf, at)
        if field == _END_OF_FIELDS:
            break
        size, at = lenenc(buf, at)
        if field == _COMPRESSION:
            compression = lenenc(buf, at)[0]
        at += size
    payload = memoryview(buf)[at : event.end]
    if compression == _NONE:
        return (bytes(payload),)
    if compression != _ZSTD:
        raise UnreadableData(f"a transaction payload is compressed by method {compression}, unknown to this version")
    return _zstd_pieces(payload)


def _zstd_pieces(payload: memoryview) -> Iterator[bytes]:
    try:
        yield from zstandard.ZstdDecompressor().read_to_iter(payload, write_size=_PIECE_BYTES)
    except zstandard.ZstdError as error:
        raise UnreadableData(f"a transaction payload cannot be decompressed: {error}") from error


_PLAIN_ROWS = {
    166: ev.WRITE_ROWS_V1,
    167: ev.UPDATE_ROWS_V1,
    168: ev.DELETE_ROWS_V1,
    169: ev.WRITE_ROWS,
    170: ev.UPDATE_ROWS,
    171: ev.DELETE_ROWS,
}


def plain_rows(event: Event) -> Event:
    """A compressed rows event of MariaDB as the plain one: behind header and bitmaps the rows are compressed."""
    kind = _PLAIN_ROWS[event.kind]
    at = event.start + 8
    if kind >= ev.WRITE_ROWS:
        at += int.from_bytes(event.buf[at : at + 2], "little")
    columns, at = lenenc(event.buf, at)
    images = 2 if kind in (ev.UPDATE_ROWS_V1, ev.UPDATE_ROWS) else 1
    at += (columns + 7) // 8 * images
    return _with_plain_rest(event, kind, at)


def plain_query(event: Event) -> Event:
    """A compressed statement of MariaDB as the plain one: the text, which comes last, is compressed."""
    status_bytes = event.buf[event.start + 11] | event.buf[event.start + 12] << 8
    at = event.start + 13 + status_bytes + event.buf[event.start + 8] + 1
    return _with_plain_rest(event, ev.QUERY, at)


def _with_plain_rest(event: Event, kind: int, at: int) -> Event:
    """
    The rest has a byte in front: the highest bit set, the method in the next three (0 is zlib), and in the lowest
    three how many bytes of the length follow.
    """
    first = event.buf[at]
    if first & 0x70:
        raise UnreadableData(f"an event is compressed by method {first >> 4 & 7}, unknown to this version")
    try:
        rest = zlib.decompress(memoryview(event.buf)[at + 1 + (first & 7) : event.end])
    except zlib.error as error:
        raise UnreadableData(f"a compressed event cannot be decompressed: {error}") from error
    buf = event.buf[event.start : at] + rest
    return event._replace(kind=kind, buf=buf, start=0, end=len(buf))
