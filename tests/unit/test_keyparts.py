"""
Single columns' bytes as parts of a key, written here by the manual's formulas.

What the servers really send is held against SELECT in tests/integration/test_key_types.py; here is the whole range.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import struct
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, part_decoder
from meepo2_cdc.errors import UnreadableData
from tests.unit.row_writer import key_bytes


def part(code: int, raw: bytes, meta: int = 0, **key: Any) -> bytes:
    decode = part_decoder(t.Column(code, meta), KeyColumn(0, **key), lambda charset: lambda raw: raw.decode(charset))
    return decode(raw)


def avro(value: Any) -> bytes:
    """The part alone: without the array's count in front and its end behind."""
    return key_bytes([value])[1:-1]


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_integers_beyond_a_long_are_their_digits(n: int):
    """A double would make two keys of 2**63 and 2**63 + 1 one."""
    raw = n.to_bytes(8, "little", signed=n < 0)
    assert part(t.LONGLONG, raw, unsigned=n >= 0) == avro(n if n < 1 << 63 else str(n))


@st.composite
def decimals(draw: st.DrawFn) -> tuple[int, int, Decimal]:
    precision = draw(st.integers(1, 65))
    scale = draw(st.integers(0, min(30, precision)))
    digits = draw(st.integers(0, 10**precision - 1))
    sign = draw(st.booleans()) and digits > 0
    return precision, scale, Decimal((sign, tuple(map(int, str(digits))), -scale))


@given(decimals())
def test_decimals_are_their_digits(case: tuple[int, int, Decimal]):
    """A lost zero or sign is another number."""
    precision, scale, number = case
    raw = packed_decimal(precision, scale, number)
    assert part(t.NEWDECIMAL, raw, meta=precision << 8 | scale) == avro(f"{number:f}")


def packed_decimal(precision: int, scale: int, number: Decimal) -> bytes:
    """Nine digits in four bytes, from the point outwards; the first bit inverted, and all of them if negative."""
    sizes = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4]
    text = f"{number.copy_abs():0{precision + (scale > 0)}.{scale}f}"
    whole, _, fraction = text.rpartition(".") if scale else (text, "", "")
    whole = whole.zfill(precision - scale)[-(precision - scale) :] if precision > scale else ""
    first = len(whole) % 9
    groups = [whole[:first], *(whole[n : n + 9] for n in range(first, len(whole), 9))]
    groups += [fraction[n : n + 9] for n in range(0, len(fraction), 9)]
    raw = bytearray(b"".join(int(group).to_bytes(sizes[len(group)], "big") for group in groups if group))
    raw[0] ^= 0x80
    return bytes(byte ^ 0xFF for byte in raw) if number < 0 else bytes(raw)


def fraction_bytes(micros: int, digits: int) -> tuple[int, int]:
    """The fraction as stored, which is in pairs of digits, and in how many bytes."""
    width = (digits + 1) // 2
    return micros // 10 ** (6 - 2 * width), width


moments = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999))  # noqa: DTZ001


@given(moments, st.integers(0, 6))
def test_datetimes_are_iso_8601_with_the_columns_digits(moment: dt.datetime, digits: int):
    """A consumer that parses them must get the moment that was stored, in whatever precision."""
    moment = moment.replace(microsecond=moment.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits))
    stored, width = fraction_bytes(moment.microsecond, digits)
    day = (moment.year * 13 + moment.month) << 5 | moment.day
    whole = (day << 17 | moment.hour << 12 | moment.minute << 6 | moment.second) + 0x8000000000
    raw = whole.to_bytes(5, "big") + stored.to_bytes(width, "big")
    text = moment.isoformat(timespec="microseconds")
    assert part(t.DATETIME2, raw, meta=digits) == avro(text[:-6] + text[-6:][:digits] if digits else text[:-7])


@given(st.integers(1, (1 << 31) - 1), st.integers(0, 999999), st.integers(0, 6))
def test_timestamps_are_in_utc(seconds: int, micros: int, digits: int):
    """The source's time zone is not the consumer's."""
    micros = micros // 10 ** (6 - digits) * 10 ** (6 - digits)
    stored, width = fraction_bytes(micros, digits)
    raw = seconds.to_bytes(4, "big") + stored.to_bytes(width, "big")
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert part(t.TIMESTAMP2, raw, meta=digits) == avro(text + (f".{micros:06}"[: digits + 1] if digits else "") + "Z")


@given(
    st.booleans(),
    st.integers(0, 838),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999999),
    st.integers(0, 6),
)
def test_times_keep_their_sign_and_their_fraction(
    minus: bool, hours: int, minutes: int, seconds: int, micros: int, digits: int
):
    """A negative time with a fraction is stored as the complement of the whole, not of its parts."""
    micros = micros // 10 ** (6 - digits) * 10 ** (6 - digits)
    minus = minus and any((hours, minutes, seconds, micros))
    stored, width = fraction_bytes(micros, digits)
    packed = (hours << 12 | minutes << 6 | seconds) << 8 * width | stored
    raw = ((0x800000 << 8 * width) + (-packed if minus else packed)).to_bytes(3 + width, "big")
    text = f"{hours:02}:{minutes:02}:{seconds:02}" + (f".{micros:06}"[: digits + 1] if digits else "")
    assert part(t.TIME2, raw, meta=digits) == avro("-" * minus + text)


@pytest.mark.parametrize(
    ("code", "raw", "text"),
    [
        (t.DATE, 0, "0000-00-00"),
        (t.DATE, 2024 << 9 | 2 << 5 | 29, "2024-02-29"),
        (t.DATE, 9999 << 9 | 12 << 5 | 31, "9999-12-31"),
        (t.DATETIME, 20260102030405, "2026-01-02T03:04:05"),
        (t.DATETIME, 0, "0000-00-00T00:00:00"),
        (t.TIME, 8385959, "838:59:59"),
        (t.TIME, -10203 & 0xFFFFFF, "-01:02:03"),
        (t.TIMESTAMP, 1767323045, "2026-01-02T03:04:05Z"),
        (t.TIMESTAMP, 0, "0000-00-00T00:00:00"),
    ],
)
def test_dates_and_the_temporal_types_of_before_mysql_5_6(code: int, raw: int, text: str):
    """Tables that were never rebuilt since still have them."""
    size = t.fixed_size(t.Column(code, 0))
    assert size is not None
    assert part(code, raw.to_bytes(size, "little")) == avro(text)


@given(st.floats(width=32, allow_nan=False))
def test_floats_are_the_double_that_is_exactly_them(x: float):
    """The digits that a client prints are not the number."""
    assert part(t.FLOAT, struct.pack("<f", x), meta=4) == avro(x)
    assert part(t.DOUBLE, struct.pack("<d", x), meta=8) == avro(x)


@pytest.mark.parametrize(("raw", "year"), [(0, 0), (1, 1901), (70, 1970), (255, 2155)])
def test_year_0000_is_no_year_1900(raw: int, year: int):
    """Both are stored as nothing but a distance."""
    assert part(t.YEAR, bytes((raw,))) == avro(year)


@given(st.binary(max_size=10))
def test_zeros_at_the_end_of_a_binary_column_come_back(content: bytes):
    """They do not travel; without them another key is read, or two become one."""
    assert part(t.STRING, content.rstrip(b"\0"), meta=10) == avro(content.ljust(10, b"\0"))
    assert part(t.VARCHAR, content, meta=10) == avro(content)
    assert part(t.BLOB, content, meta=2) == avro(content)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
def test_text_is_decoded_from_its_own_character_set(text: str):
    """Bytes of another character set are no UTF-8, or worse, they are."""
    assert part(t.VARCHAR, text.encode(), meta=80, charset="utf8mb4") == avro(text)
    assert part(t.STRING, text.encode("utf-16-be"), meta=80, charset="utf-16-be") == avro(text)


def test_enums_and_sets_are_their_labels():
    """Numbers change their meaning with the next ALTER TABLE."""
    labels = ("a", "größe", "it's")
    assert [part(t.ENUM, bytes((n,)), meta=1, labels=labels) for n in range(4)] == [avro(one) for one in ("", *labels)]
    assert part(t.ENUM, b"\x2c\1", meta=2, labels=tuple(f"n{n}" for n in range(1, 301))) == avro("n300")
    sets = {0: "", 1: "a", 6: "größe,it's", 7: "a,größe,it's"}
    assert {n: part(t.SET, bytes((n,)), meta=1, labels=labels) for n in sets} == {
        n: avro(text) for n, text in sets.items()
    }


@pytest.mark.parametrize(("code", "raw"), [(t.ENUM, b"\4"), (t.SET, b"\x08"), (t.SET, b"\x0f")])
def test_numbers_without_a_label_are_refused(code: int, raw: bytes):
    """The labels are not those of the row, so neither is any other."""
    with pytest.raises(UnreadableData, match="label"):
        part(code, raw, meta=1, labels=("a", "b", "c"))


@given(st.binary(min_size=16, max_size=16))
def test_addresses_and_uuids_of_mariadb_are_what_they_say(raw: bytes):
    """They travel as plain bytes, without the zeros at their end."""
    sent = raw.rstrip(b"\0")
    assert part(t.STRING, sent, meta=16, native="uuid") == avro(str(uuid.UUID(bytes=raw)))
    text = part(t.STRING, sent, meta=16, native="inet6")[2:].decode().lstrip("\x04")
    assert ipaddress.IPv6Address(text) == ipaddress.IPv6Address(raw)
    assert part(t.STRING, sent[:4].rstrip(b"\0"), meta=4, native="inet4") == avro(str(ipaddress.IPv4Address(raw[:4])))


@pytest.mark.parametrize(
    "text",
    [
        "::",
        "::1",
        "1::",
        "2001:db8::1:0:0:1",
        "1::2:0:3:0:4:0",
        "::ffff:192.0.2.128",
        "::ffff:0.0.0.1",
        "::192.0.2.128",
        "::1:0:0",
        "2001:db8:1:2:3:4:5:6",
        "fe80::1:0:0:0",
        "::1:2:3:4:5:6:7",
    ],
)
def test_an_inet6_is_spelled_as_mariadb_spells_it(text: str):
    """A consumer compares it with what the server shows; Python's spelling differs in the details."""
    assert part(t.STRING, ipaddress.IPv6Address(text).packed, meta=16, native="inet6") == avro(text)


@pytest.mark.parametrize("code", [t.JSON, t.GEOMETRY, t.VECTOR])
def test_types_that_can_be_no_key_are_refused(code: int):
    """The metadata that says so is wrong, or of a server that this version does not know."""
    with pytest.raises(UnreadableData, match=f"type {code}"):
        part(code, b"", meta=4)


@pytest.mark.parametrize("charset", ["utf8mb4", "utf8mb3", "ascii"])
def test_bytes_that_are_no_text_are_refused(charset: str):
    """MariaDB stores them; as an Avro string they stop every reader."""
    decode = part_decoder(t.Column(t.VARCHAR, 10), KeyColumn(0, charset=charset), lambda _: str)
    with pytest.raises(UnreadableData, match="no text"):
        decode(b"\xe4")
    assert decode(b"a") == b"\x04\x02a"


def test_a_key_part_is_no_larger_than_a_text_column():
    """Kafka refuses records of a megabyte, at each start again."""
    decode = part_decoder(t.Column(t.BLOB, 4), KeyColumn(0), lambda _: str)
    assert len(decode(b"x" * 65_535)) == 65_535 + 4
    with pytest.raises(UnreadableData, match="65536 bytes"):
        decode(b"x" * 65_536)
