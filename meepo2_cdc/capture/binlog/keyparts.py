"""
One column's bytes in a row event, as a part of a primary key in Avro.

Knows how the servers store each type (MySQL: sql/field.cc `pack`, mysys/my_time.cc, strings/decimal.cc); knows nothing
of events or tables.  A decoder takes the column's own bytes, without a length in front, and returns the encoded part.
"""

from __future__ import annotations

import ipaddress
import struct
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.column_compression import uncompressed
from meepo2_cdc.capture.binlog.json_values import json_text
from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import wire

KEY_PART_LIMIT_BYTES = 65_535
"""As much as a TEXT column holds."""

PartDecoder = Callable[[bytes], bytes]
TextDecoder = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """
    What must be known of a key column beside its type.

    `charset` is None for bytes; `labels` are those of an ENUM or SET; `native` is "uuid", "inet6" or "inet4" for the
    types of MariaDB that travel as plain bytes.
    """

    index: int
    unsigned: bool = False
    charset: str | None = None
    labels: tuple[str, ...] = ()
    native: str | None = None


def part_decoder(column: t.Column, key: KeyColumn, text: Callable[[str], TextDecoder]) -> PartDecoder:
    """`text` gives the decoder of a character set by its name."""
    kind, meta = column
    if kind in _INTEGER_BYTES:
        return _integer(key.unsigned)
    if kind in t.CHARACTER:
        return _characters(column, key, text)
    if kind in t.BLOBS:
        return _bounded(_characters(column, key, text))
    if kind == t.ENUM:
        return _enum(key.labels)
    if kind == t.SET:
        return _set(key.labels)
    make = _BY_TYPE.get(kind)
    if make is None:
        raise UnreadableData(f"columns of binlog type {kind} cannot be read as a primary key")
    return make(meta)


def value_decoder(column: t.Column, described: KeyColumn, text: Callable[[str], TextDecoder]) -> PartDecoder:
    """The same for any column of a row, however long: JSON, geometries and vectors too, which no key has."""
    kind = column.type
    if kind == t.JSON:
        return lambda raw: wire.string_part(json_text(raw))
    if kind in (t.GEOMETRY, t.VECTOR):
        return wire.bytes_part
    if kind not in t.CHARACTER | t.BLOBS:
        return part_decoder(column, described, text)
    decode = _characters(column, described, text)
    if described.charset in _UTF8 and described.native is None:
        decode = partial(_utf8_value, _codec(described.charset))
    if kind in (t.BLOB_COMPRESSED, t.VARCHAR_COMPRESSED):
        return lambda raw: decode(uncompressed(raw))
    return decode


_INTEGER_BYTES = {t.TINY: 1, t.SHORT: 2, t.INT24: 3, t.LONG: 4, t.LONGLONG: 8}


def _integer(unsigned: bool) -> PartDecoder:
    return lambda raw: wire.long_part(int.from_bytes(raw, "little", signed=not unsigned))


def _characters(column: t.Column, key: KeyColumn, text: Callable[[str], TextDecoder]) -> PartDecoder:
    if key.native is not None:
        native, width = _NATIVE[key.native]
        return lambda raw: wire.string_part(native(raw.ljust(width, b"\0")))
    if key.charset is None:
        # CHAR-like columns lose their trailing zeros on the way; the declared width brings them back
        width = column.meta if column.type == t.STRING else 0
        return lambda raw: wire.bytes_part(raw.ljust(width, b"\0"))
    if key.charset in _UTF8:
        return partial(_utf8, _codec(key.charset))
    decode = text(key.charset)
    return lambda raw: wire.string_part(decode(raw))


_UTF8 = ("utf8mb4", "utf8mb3", "utf8", "ascii")


def _codec(charset: str | None) -> str:
    return "ascii" if charset == "ascii" else "utf-8"


def _utf8_value(codec: str, raw: bytes) -> bytes:
    """As `_utf8`; what a row holds is never quoted."""
    if not raw.isascii():
        try:
            raw.decode(codec)
        except UnicodeDecodeError:
            raise UnreadableData("a column holds bytes that are no text in its character set") from None
    return wire.utf8_part(raw)


def _utf8(codec: str, raw: bytes) -> bytes:
    """Bytes that are UTF-8 already.  MariaDB stores others too, which no reader of Avro takes for a string."""
    if not raw.isascii():
        try:
            raw.decode(codec)
        except UnicodeDecodeError as error:
            raise UnreadableData(f"a key holds bytes that are no text in its character set: {raw[:40]!r}") from error
    return wire.utf8_part(raw)


def _bounded(decode: PartDecoder) -> PartDecoder:
    """Keys over the beginning of a BLOB or TEXT carry the whole value, which a Kafka record need not hold."""

    def bounded(raw: bytes) -> bytes:
        if len(raw) > KEY_PART_LIMIT_BYTES:
            raise UnreadableData(f"a key part has {len(raw)} bytes, and {KEY_PART_LIMIT_BYTES} are the limit")
        return decode(raw)

    return bounded


_NATIVE: dict[str, tuple[TextDecoder, int]] = {
    "uuid": (lambda raw: str(uuid.UUID(bytes=raw)), 16),
    "inet6": (lambda raw: _inet6(raw), 16),
    "inet4": (lambda raw: str(ipaddress.IPv4Address(raw)), 4),
}


def _inet6(raw: bytes) -> str:
    """As the server prints it (MariaDB plugin/type_inet, Inet6::to_string): even one group of zeros becomes "::"."""
    groups = [f"{raw[n] << 8 | raw[n + 1]:x}" for n in range(0, 16, 2)]
    start, length = _longest_zeros(groups)
    tail = groups[start + length :]
    if start == 0 and (length == 6 or (length == 5 and groups[5] == "ffff")):
        tail = [*groups[length:6], str(ipaddress.IPv4Address(raw[12:]))]
    return f"{':'.join(groups[:start])}::{':'.join(tail)}" if length else ":".join(groups)


def _longest_zeros(groups: Sequence[str]) -> tuple[int, int]:
    """Where the first of the longest runs of zeros begins, and its length."""
    runs = [(0, len(groups))]
    for start, group in enumerate(groups):
        if group == "0":
            length = next((n for n, later in enumerate(groups[start:]) if later != "0"), len(groups) - start)
            runs.append((length, len(groups) - start))
    length, from_end = max(runs)
    return len(groups) - from_end, length


def _enum(labels: Sequence[str]) -> PartDecoder:
    # number 0 is the empty string that the server stores for an invalid value
    parts = [wire.string_part(label) for label in ("", *labels)]

    def decode(raw: bytes) -> bytes:
        number = int.from_bytes(raw, "little")
        if number >= len(parts):
            raise UnreadableData(f"a key is label number {number} of an ENUM that has {len(labels)}")
        return parts[number]

    return decode


def _set(labels: Sequence[str]) -> PartDecoder:
    @lru_cache(maxsize=4096)
    def decode(raw: bytes) -> bytes:
        bits = int.from_bytes(raw, "little")
        if bits >> len(labels):
            raise UnreadableData(f"a key has label number {bits.bit_length()} of a SET that has {len(labels)}")
        return wire.string_part(",".join(label for n, label in enumerate(labels) if bits >> n & 1))

    return decode


def _float(_: int) -> PartDecoder:
    read = struct.Struct("<f").unpack
    return lambda raw: wire.double_part(read(raw)[0])


def _double(_: int) -> PartDecoder:
    return lambda raw: b"\x02" + raw  # Avro's double is the same eight bytes


def _year(_: int) -> PartDecoder:
    return lambda raw: wire.long_part(raw[0] + 1900 if raw[0] else 0)


def _bit(_: int) -> PartDecoder:
    return wire.bytes_part


def _date(_: int) -> PartDecoder:
    def decode(raw: bytes) -> bytes:
        n = int.from_bytes(raw, "little")
        return wire.string_part(_date_text(n >> 9, n >> 5 & 15, n & 31))

    return decode


def _time2(digits: int) -> PartDecoder:
    shift = (digits + 1) // 2 * 8
    zero = 0x800000 << shift

    def decode(raw: bytes) -> bytes:
        packed = int.from_bytes(raw, "big") - zero
        whole, fraction = divmod(abs(packed), 1 << shift)
        clock = _time_text(whole >> 12 & 1023, whole >> 6 & 63, whole & 63)
        return wire.string_part("-" * (packed < 0) + clock + _fraction_text(fraction, digits))

    return decode


def _datetime2(digits: int) -> PartDecoder:
    shift = (digits + 1) // 2 * 8

    def decode(raw: bytes) -> bytes:
        whole, fraction = divmod(int.from_bytes(raw, "big"), 1 << shift)
        day, clock = divmod(whole - 0x8000000000, 1 << 17)
        month = day >> 5
        text = _date_text(month // 13, month % 13, day & 31) + "T" + _packed_clock(clock)
        return wire.string_part(text + _fraction_text(fraction, digits))

    return decode


def _timestamp2(digits: int) -> PartDecoder:
    def decode(raw: bytes) -> bytes:
        return wire.string_part(_utc_text(int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big"), digits))

    return decode


def _old_timestamp(_: int) -> PartDecoder:
    return lambda raw: wire.string_part(_utc_text(int.from_bytes(raw, "little"), 0, 0))


def _old_datetime(_: int) -> PartDecoder:
    def decode(raw: bytes) -> bytes:
        day, clock = divmod(int.from_bytes(raw, "little"), 1_000_000)
        text = _date_text(day // 10000, day // 100 % 100, day % 100)
        return wire.string_part(f"{text}T{_time_text(clock // 10000, clock // 100 % 100, clock % 100)}")

    return decode


def _old_time(_: int) -> PartDecoder:
    def decode(raw: bytes) -> bytes:
        n = int.from_bytes(raw, "little", signed=True)
        clock = _time_text(abs(n) // 10000, abs(n) // 100 % 100, abs(n) % 100)
        return wire.string_part("-" * (n < 0) + clock)

    return decode


def _date_text(year: int, month: int, day: int) -> str:
    return f"{year:04}-{month:02}-{day:02}"


def _time_text(hours: int, minutes: int, seconds: int) -> str:
    return f"{hours:02}:{minutes:02}:{seconds:02}"


def _packed_clock(packed: int) -> str:
    return _time_text(packed >> 12, packed >> 6 & 63, packed & 63)


def _fraction_text(stored: int, digits: int) -> str:
    """Fractions are stored in pairs of digits: one digit as two, three as four, five as six."""
    return "." + f"{stored:0{(digits + 1) // 2 * 2}}"[:digits] if digits else ""


def _utc_text(seconds: int, fraction: int, digits: int) -> str:
    if seconds == 0:  # the zero TIMESTAMP; 1970-01-01 00:00:00 itself cannot be stored
        return "0000-00-00T00:00:00" + _fraction_text(fraction, digits)
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}{_fraction_text(fraction, digits)}Z"


def _decimal(meta: int) -> PartDecoder:
    precision, scale = divmod(meta, 256)
    size = t.decimal_bytes(meta)

    def decode(raw: bytes) -> bytes:
        return wire.string_part(decimal_text(raw[:size], precision, scale))

    return decode


def decimal_text(raw: bytes, precision: int, scale: int) -> str:
    """Canonical digits, `scale` of them behind the point, as the server prints them (decimal.cc, bin2decimal)."""
    negative = not raw[0] & 0x80
    digits = bytes((raw[0] ^ 0x80,)) + raw[1:]
    if negative:
        digits = bytes(byte ^ 0xFF for byte in digits)
    whole_size = t.decimal_part_bytes(precision - scale)
    whole = _decimal_digits(digits[:whole_size], precision - scale, short_first=True).lstrip("0") or "0"
    fraction = _decimal_digits(digits[whole_size:], scale, short_first=False)
    return "-" * negative + whole + ("." + fraction if scale else "")


def _decimal_digits(raw: bytes, count: int, *, short_first: bool) -> str:
    """Nine digits in four bytes each; what is left over in a shorter group at the outer end."""
    full, rest = divmod(count, 9)
    widths = [rest] * short_first * (rest > 0) + [9] * full + [rest] * (not short_first) * (rest > 0)
    text, at = "", 0
    for width in widths:
        size = t.decimal_part_bytes(width)
        text += f"{int.from_bytes(raw[at : at + size], 'big'):0{width}}"
        at += size
    return text


_BY_TYPE: dict[int, Callable[[int], PartDecoder]] = {
    t.FLOAT: _float,
    t.DOUBLE: _double,
    t.YEAR: _year,
    t.BIT: _bit,
    t.DATE: _date,
    t.NEWDATE: _date,
    t.TIME: _old_time,
    t.TIME2: _time2,
    t.DATETIME: _old_datetime,
    t.DATETIME2: _datetime2,
    t.TIMESTAMP: _old_timestamp,
    t.TIMESTAMP2: _timestamp2,
    t.NEWDECIMAL: _decimal,
}
