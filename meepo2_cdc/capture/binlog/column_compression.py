"""
Columns that MariaDB compresses one by one (COMPRESSED), which travel in the log as they are stored.

Source: MariaDB sql/field_comp.cc and Field_longstr::uncompress in sql/field.cc.
"""

from __future__ import annotations

import zlib

from meepo2_cdc.errors import UnreadableData

_ZLIB, _NO_HEADER, _LENGTH_BYTES = 8, 8, 7


def uncompressed(raw: bytes) -> bytes:
    """
    The first byte has the method in its upper four bits, 0 for none, and in its lower ones whether zlib's own header is
    left out and how many bytes of the length follow.
    """
    if not raw:
        return raw
    method, low = raw[0] >> 4, raw[0] & 15
    if method == 0:
        return raw[1:]
    if method != _ZLIB:
        raise UnreadableData(f"a column is compressed by method {method}, unknown to this version")
    behind = 1 + (low & _LENGTH_BYTES)
    size = int.from_bytes(raw[1:behind], "big")
    try:
        found = zlib.decompress(raw[behind:], -zlib.MAX_WBITS if low & _NO_HEADER else zlib.MAX_WBITS)
    except zlib.error as error:
        raise UnreadableData(f"a compressed column cannot be decompressed: {error}") from error
    if len(found) != size:
        raise UnreadableData(f"a compressed column has {len(found)} bytes, and says that it has {size}")
    return found
