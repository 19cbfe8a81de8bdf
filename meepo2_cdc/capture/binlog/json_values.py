"""
MySQL's binary JSON as the text that SELECT shows.

Source of the format: MySQL sql-common/json_binary.h; of the text: sql-common/json_dom.cc (wrapper_to_string,
double_quote) and strings/dtoa.cc (my_gcvt).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from decimal import Decimal

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.errors import UnreadableData

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = range(5)
_INT16, _UINT16, _INT32, _UINT32, _INT64, _UINT64, _DOUBLE, _STRING = range(5, 13)
_OPAQUE = 15
_LITERALS = ("null", "true", "false")
_INTEGERS = {_INT16: "<h", _UINT16: "<H", _INT32: "<i", _UINT32: "<I", _INT64: "<q", _UINT64: "<Q"}
_INLINED = (_LITERAL, _INT16, _UINT16)
_DIGITS = 15  # DBL_DIG
_BASE64_LINE = 76


def json_text(raw: bytes) -> str:
    """A JSON column's value.  One that the server stored empty (INSERT IGNORE of NULL) is null."""
    if not raw:
        return "null"
    try:
        return _value(raw[0], raw, 1)
    except (IndexError, KeyError, struct.error, ValueError, OverflowError) as error:
        # an error's own words may quote the value
        raise UnreadableData(f"a JSON value is not as MySQL stores it ({type(error).__name__})") from None


def _value(kind: int, raw: bytes, at: int) -> str:
    if kind <= _LARGE_ARRAY:
        return _container(kind, raw, at)
    if kind == _LITERAL:
        return _LITERALS[raw[at]]
    if kind in _INTEGERS:
        return str(struct.unpack_from(_INTEGERS[kind], raw, at)[0])
    if kind == _DOUBLE:
        return double_text(struct.unpack_from("<d", raw, at)[0])
    if kind == _STRING:
        size, at = _length(raw, at)
        return quoted(_piece(raw, at, size).decode())
    if kind == _OPAQUE:
        size, behind = _length(raw, at + 1)
        return _opaque(raw[at], _piece(raw, behind, size))
    raise KeyError(kind)


def _container(kind: int, raw: bytes, at: int) -> str:
    """Offsets count from the container's own beginning; short values stand in place of them."""
    width = 4 if kind in (_LARGE_OBJECT, _LARGE_ARRAY) else 2
    is_object = kind in (_SMALL_OBJECT, _LARGE_OBJECT)

    def number(place: int) -> int:
        return int.from_bytes(_piece(raw, place, width), "little")

    count = number(at)
    keys_at = at + 2 * width
    values_at = keys_at + count * (width + 2) * is_object
    values = []
    for n in range(count):
        entry = values_at + n * (1 + width)
        inner = raw[entry]
        inlined = inner in _INLINED or (width == 4 and inner in (_INT32, _UINT32))
        values.append(_value(inner, raw, entry + 1 if inlined else at + number(entry + 1)))
    if not is_object:
        return f"[{', '.join(values)}]"
    keys = []
    for n in range(count):
        entry = keys_at + n * (width + 2)
        size = int.from_bytes(_piece(raw, entry + width, 2), "little")
        keys.append(quoted(_piece(raw, at + number(entry), size).decode()))
    return "{" + ", ".join(f"{key}: {value}" for key, value in zip(keys, values, strict=True)) + "}"


def _piece(raw: bytes, at: int, size: int) -> bytes:
    if at + size > len(raw):
        raise IndexError(f"{size} bytes at {at} of {len(raw)}")
    return raw[at : at + size]


def _length(raw: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, lowest first; and where it ends."""
    found = shift = 0
    while True:
        byte = raw[at]
        found |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return found, at


_ESCAPES = {
    **{n: f"\\u{n:04x}" for n in range(32)},
    ord("\b"): "\\b", ord("\t"): "\\t", ord("\n"): "\\n", ord("\f"): "\\f", ord("\r"): "\\r",
    ord('"'): '\\"', ord("\\"): "\\\\",
}  # fmt: skip


def quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def double_text(number: float) -> str:
    """As my_gcvt writes it: the shortest digits, with an exponent where that is shorter; never without a mark of it."""
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    figures = "".join(map(str, digits))
    point = len(figures) + int(exponent)  # digits in front of the point
    minus = "-" * sign
    if figures == "0":
        return f"{minus}0.0"
    if point < 1 - _DIGITS or (point > _DIGITS and len(figures) <= point):
        mantissa = figures[0] + (f".{figures[1:]}" if len(figures) > 1 else "")
        return f"{minus}{mantissa}e{point - 1}"
    if point <= 0:
        return f"{minus}0.{'0' * -point}{figures}"
    whole, fraction = figures[:point].ljust(point, "0"), figures[point:]
    return f"{minus}{whole}.{fraction or '0'}"


# -- values of columns within JSON


def _opaque(kind: int, raw: bytes) -> str:
    text = _OPAQUE_TEXTS.get(kind)
    if text is not None:
        return text(raw)
    encoded = base64.b64encode(raw).decode()
    lines = "\\n".join(encoded[n : n + _BASE64_LINE] for n in range(0, len(encoded), _BASE64_LINE))
    return f'"base64:type{kind}:{lines}"'


def _decimal(raw: bytes) -> str:
    from meepo2_cdc.capture.binlog.keyparts import decimal_text

    return decimal_text(raw[2:], raw[0], raw[1])


def _packed(raw: bytes) -> tuple[int, int, int]:
    """Sign, whole and microseconds of a packed time (sql-common/my_time.cc, TIME_from_longlong_..._packed)."""
    number = int.from_bytes(raw, "little", signed=True)
    whole, fraction = divmod(abs(number), 1 << 24)
    return number < 0, whole, fraction


def _date(raw: bytes) -> str:
    day = _packed(raw)[1] >> 17
    month = day >> 5
    return f"{month // 13:04}-{month % 13:02}-{day & 31:02}"


def _clock(whole: int, fraction: int) -> str:
    return f"{whole >> 12 & 1023:02}:{whole >> 6 & 63:02}:{whole & 63:02}.{fraction:06}"


def _datetime(raw: bytes) -> str:
    _, whole, fraction = _packed(raw)
    return f'"{_date(raw)} {_clock(whole & 0x1FFFF, fraction)}"'


def _time(raw: bytes) -> str:
    negative, whole, fraction = _packed(raw)
    return f'"{"-" * negative}{_clock(whole, fraction)}"'


_OPAQUE_TEXTS: dict[int, Callable[[bytes], str]] = {
    t.NEWDECIMAL: _decimal,
    t.DATE: lambda raw: f'"{_date(raw)}"',
    t.TIME: _time,
    t.DATETIME: _datetime,
    t.TIMESTAMP: _datetime,
}
