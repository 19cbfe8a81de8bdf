"""
The bytes of log events as servers write them, made here a second time, so that reader and writer share no mistake.

Source of the formats: MySQL libbinlogevents (control_events.h, rows_event.h), MariaDB sql/log_event.h.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import zstandard

from tests.simulation.history import INT, Images, Table, Values, Xid

QUERY, ROTATE, FORMAT_DESCRIPTION, XID, TABLE_MAP, HEARTBEAT, ROWS_QUERY = 2, 4, 15, 16, 19, 27, 29
GTID, ANONYMOUS_GTID, PREVIOUS_GTIDS, XA_PREPARE, TRANSACTION_PAYLOAD = 33, 34, 35, 38, 40
ANNOTATE, MARIADB_GTID, MARIADB_GTID_LIST = 160, 162, 163
ROWS = {"write": 30, "update": 31, "delete": 32}
ROWS_V1 = {"write": 23, "update": 24, "delete": 25}

ARTIFICIAL = 0x20
HEADER_BYTES = 19
CHECKSUM_BYTES = 4
_LONG_TYPE, _VARCHAR_TYPE, _UTF8MB4 = 3, 15, 45
_STATEMENT_END = 1
_STANDALONE, _PREPARED_XA, _COMPLETED_XA = 1, 64, 128


def event(kind: int, body: bytes, *, at: int | None, time_s: int, server_id: int, checksum: bool = True) -> bytes:
    """A whole event that begins at byte `at` of its file; None for one that is in no file."""
    size = HEADER_BYTES + len(body) + CHECKSUM_BYTES * checksum
    end, flags = (0, ARTIFICIAL) if at is None else (at + size, 0)
    raw = struct.pack("<IBIIIH", time_s, kind, server_id, size, end & 0xFFFFFFFF, flags) + body
    return raw + struct.pack("<I", zlib.crc32(raw)) if checksum else raw


def format_description(version: str, *, checksum: bool = True) -> bytes:
    lengths = bytes(41)
    return struct.pack("<H50sIB", 4, version.encode(), 0, HEADER_BYTES) + lengths + bytes((checksum,))


def rotate(file: str, position: int) -> bytes:
    return struct.pack("<Q", position) + file.encode()


def query(schema: str, statement: str) -> bytes:
    status = b"\0" + struct.pack("<I", 0)  # Q_FLAGS2_CODE
    front = struct.pack("<IIBHH", 7, 0, len(schema), 0, len(status))
    return front + status + schema.encode() + b"\0" + statement.encode()


def gtid(server: UUID | None, number: int, committed_us: int) -> bytes:
    """Of MySQL; without a server it is the body of an anonymous one."""
    raw = bytes(16) if server is None else server.bytes
    return struct.pack("<B16sqBqq", 0, raw, number, 2, 0, 1) + committed_us.to_bytes(7, "little") + b"\0"


def mariadb_gtid(
    number: int, *, standalone: bool = False, prepared: Xid | None = None, completed: bool = False
) -> bytes:
    flags = _STANDALONE * standalone | _PREPARED_XA * (prepared is not None) | _COMPLETED_XA * completed
    xid = b"" if prepared is None else struct.pack("<IBB", 1, len(prepared), 0) + prepared.encode()
    return (struct.pack("<QIB", number, 0, flags) + xid).ljust(19, b"\0")


def previous_gtids(ends: Mapping[UUID, Sequence[tuple[int, int]]]) -> bytes:
    """First and last number of each interval."""
    out = struct.pack("<Q", len(ends))
    for server, intervals in ends.items():
        out += server.bytes + struct.pack("<q", len(intervals))
        out += b"".join(struct.pack("<qq", first, last + 1) for first, last in intervals)
    return out


def mariadb_gtid_list(last: Iterable[tuple[int, int, int]]) -> bytes:
    members = list(last)
    return struct.pack("<I", len(members)) + b"".join(struct.pack("<IIQ", *one) for one in members)


def xa_prepare(xid: Xid, *, one_phase: bool) -> bytes:
    return struct.pack("<BIII", one_phase, 1, len(xid), 0) + xid.encode()


def xid_text(xid: Xid) -> str:
    return f"X'{xid.encode().hex()}',X'',1"


# -- tables and rows


def table_map(table_id: int, table: Table) -> bytes:
    """With the optional metadata of binlog_row_metadata=FULL."""
    kinds = bytes(_LONG_TYPE if kind == INT else _VARCHAR_TYPE for _, kind in table.columns)
    meta = b"".join(struct.pack("<H", 160) for _, kind in table.columns if kind != INT)
    nullable = bytes((len(kinds) + 7) // 8)
    names = b"".join(_counted(name.encode()) for name, _ in table.columns)
    numbers = sum(kind == INT for _, kind in table.columns)
    optional = _field(1, bytes((numbers + 7) // 8)) + _field(4, names) + _field(8, bytes(table.key))
    if len(kinds) > numbers:
        optional += _field(2, bytes((_UTF8MB4,)))
    return (
        table_id.to_bytes(6, "little") + b"\1\0" + _named(table.schema) + _named(table.name)
        + bytes((len(kinds),)) + kinds + _counted(meta) + nullable + optional
    )  # fmt: skip


def _named(name: str) -> bytes:
    return _counted(name.encode()) + b"\0"


def _counted(raw: bytes) -> bytes:
    assert len(raw) < 251
    return bytes((len(raw),)) + raw


def _field(code: int, raw: bytes) -> bytes:
    return bytes((code,)) + _counted(raw)


def rows(table_id: int, table: Table, changes: Sequence[Images], *, last: bool, version: int) -> bytes:
    """Each change is the images that its kind of event holds: one, or for an update two."""
    count = len(table.columns)
    present = ((1 << count) - 1).to_bytes((count + 7) // 8, "little")
    front = table_id.to_bytes(6, "little") + struct.pack("<H", _STATEMENT_END * last)
    if version == 2:
        front += struct.pack("<H", 2)
    images = len(changes[0])
    body = b"".join(_image(table, values) for change in changes for values in change)
    return front + bytes((count,)) + present * images + body


def _image(table: Table, values: Values) -> bytes:
    nulls = sum(1 << n for n, value in enumerate(values) if value is None)
    out = nulls.to_bytes((len(values) + 7) // 8, "little")
    for value in values:
        if isinstance(value, int):
            out += struct.pack("<i", value)
        elif value is not None:
            out += _counted(value.encode())
    return out


def payload(events: bytes, *, compressed: bool) -> bytes:
    """Of MySQL 8: the events of a transaction, without checksums, in one."""
    inner = zstandard.ZstdCompressor().compress(events) if compressed else events
    fields = [(2, _number(0 if compressed else 255)), (3, _number(len(events))), (1, _number(len(inner)))]
    return b"".join(_number(code) + _number(len(raw)) + raw for code, raw in fields) + b"\0" + inner


def _number(n: int) -> bytes:
    return (
        bytes((n,)) if n < 251 else b"\xfc" + struct.pack("<H", n) if n < 1 << 16 else b"\xfd" + n.to_bytes(3, "little")
    )
