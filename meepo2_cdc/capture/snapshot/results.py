"""
A query's rows as bytes, in large pieces from the socket: PyMySQL takes some ten times longer for each row.

Knows the text protocol (MySQL, "Text Resultset Row": strings with their length in front, FB for NULL) and nothing of
what is in the rows.
"""

from __future__ import annotations

from typing import Any

import pymysql
from pymysql.constants import COMMAND

from meepo2_cdc.capture.binlog.tables import lenenc
from meepo2_cdc.errors import SourceUnavailable, UnreadableData

_PIECE_BYTES = 1 << 17
_SHORT = 251  # a length below is one byte
_NULL = 0xFB
_END = 0xFE
_ERROR = 0xFF

Row = list[bytes]
"""One column's values of all rows, or one row's values of all columns."""


def single_values(connection: pymysql.Connection[Any], query: str) -> list[bytes]:
    """The rows of a query of one column that is never null."""
    found: list[bytes] = []
    rest = _Packets(connection, query, 1)
    while (packet := rest.next_but_short(found)) is not None:
        found += _values(packet, 1)
    return found


def rows_of(connection: pymysql.Connection[Any], query: str, columns: int) -> list[list[bytes]]:
    """
    The rows of a query whose columns are never null.

    Raises what PyMySQL raises.  After any other error the connection is of no use: something may be left unread.
    """
    packets = _Packets(connection, query, columns)
    found = []
    while (packet := packets.next()) is not None:
        found.append(_values(packet, columns))
    return found


def _values(packet: bytes, columns: int) -> list[bytes]:
    values, at = [], 0
    for _ in range(columns):
        size = packet[at]
        if size < _SHORT:
            at += 1
        elif size == _NULL:
            raise UnreadableData("a key is null in the source's answer")
        else:
            size, at = lenenc(packet, at)
        values.append(packet[at : at + size])
        at += size
    return values


class _Packets:
    """The packets of a query's rows."""

    def __init__(self, connection: Any, query: str, columns: int) -> None:
        connection._execute_command(COMMAND.COM_QUERY, query)
        first = connection._read_packet()
        if first.is_ok_packet() or first.read_length_encoded_integer() != columns:
            raise UnreadableData(f"the source answers a query of {columns} columns with another number")
        while not connection._read_packet().is_eof_packet():
            pass  # the definitions of the columns
        self._read = connection._rfile.read1
        self._buf, self._at = b"", 0

    def next_but_short(self, found: list[bytes]) -> bytes | None:
        """
        As `next`, but rows of one short value go into `found` at once: most rows there are, and all of them in one
        loop.
        """
        append = found.append
        while True:
            buf, at = self._buf, self._at
            end = len(buf)
            while at + 5 <= end:
                stop = at + 4 + (buf[at] | buf[at + 1] << 8)
                if stop > end or buf[at + 2] or buf[at + 4] >= _SHORT:
                    break
                append(buf[at + 5 : stop])
                at = stop
            self._at = at
            if self._is_whole():
                return self.next()
            self._read_more()

    def next(self) -> bytes | None:
        """The next row; None behind the last.  Raises the error that came in its place."""
        while not self._is_whole():
            self._read_more()
        start = self._at + 4
        self._at = stop = start + self._length()
        first = self._buf[start]
        if first == _END and stop - start < 9:
            return None
        packet = self._buf[start:stop]
        if first == _ERROR:
            pymysql.err.raise_mysql_exception(packet)
        return packet

    def _length(self) -> int:
        return int.from_bytes(self._buf[self._at : self._at + 3], "little")

    def _is_whole(self) -> bool:
        left = len(self._buf) - self._at
        return left >= 4 and left >= 4 + self._length()

    def _read_more(self) -> None:
        piece = self._read(_PIECE_BYTES)
        if not piece:
            raise SourceUnavailable("the source closed the connection in the middle of an answer")
        self._buf, self._at = self._buf[self._at :] + piece, 0
