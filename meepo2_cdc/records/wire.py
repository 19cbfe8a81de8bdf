"""
The few Avro encodings that are written once per row, made fast by tables of ready bytes.

Source of the format: Avro specification 1.11, "Binary Encoding" (zig-zag variable-length integers, strings and
bytes with their length in front, arrays as counted blocks ended by a zero count, unions as branch index and value).
Everything that is not once-per-row goes through fastavro instead; a test holds both equal.
"""

from __future__ import annotations

import struct

# Two bytes of 7 bits each.  ENDS are complete varints of 0..16383; MORE are the same 14 bits with the continuation
# bit on both, to be followed by the rest.
ENDS = [bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(1 << 14)]
MORE = [bytes((n & 127 | 128, n >> 7 | 128)) for n in range(1 << 14)]
LOW_SIX = [bytes((n << 1 | 128,)) for n in range(64)]  # a zig-zag number's last six bits, more to follow

_pack_double = struct.Struct("<d").pack
LONG_MAX = (1 << 63) - 1


def varint(n: int) -> bytes:
    """An unsigned number, 0 <= n < 2**64, seven bits a byte, lowest first."""
    if n < 16384:
        return ENDS[n]
    if n < 268435456:
        return MORE[n & 16383] + ENDS[n >> 14]
    if n < 4398046511104:
        return MORE[n & 16383] + MORE[n >> 14 & 16383] + ENDS[n >> 28]
    if n < 72057594037927936:  # times in microseconds
        return MORE[n & 16383] + MORE[n >> 14 & 16383] + MORE[n >> 28 & 16383] + ENDS[n >> 42]
    return MORE[n & 16383] + MORE[n >> 14 & 16383] + varint(n >> 28)


def long(n: int) -> bytes:
    """An Avro long, -2**63 <= n < 2**63."""
    return varint(n << 1 if n >= 0 else -(n << 1) - 1)


def string(text: str) -> bytes:
    raw = text.encode()
    return varint(len(raw) << 1) + raw


# The parts of a primary key: branch of ["long", "double", "string", "bytes"], then the value.


def long_part(n: int) -> bytes:
    """An integer key part; above 2**63-1 (BIGINT UNSIGNED) it is its decimal digits as a string."""
    return b"\x00" + long(n) if n <= LONG_MAX else string_part(str(n))


def double_part(x: float) -> bytes:
    return b"\x02" + _pack_double(x)


def string_part(text: str) -> bytes:
    raw = text.encode()
    return b"\x04" + varint(len(raw) << 1) + raw


def utf8_part(raw: bytes) -> bytes:
    """A string key part whose bytes are UTF-8 already."""
    return b"\x04" + varint(len(raw) << 1) + raw


def bytes_part(raw: bytes) -> bytes:
    return b"\x06" + varint(len(raw) << 1) + raw


EMPTY_KEY = b"\x00"
