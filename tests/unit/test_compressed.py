"""
Transaction payloads: events inside of one, whatever the pieces they are decompressed in.
"""

from __future__ import annotations

import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.capture.binlog import compressed
from meepo2_cdc.capture.binlog.stream import Event
from meepo2_cdc.errors import UnreadableData


def inner(body: bytes) -> bytes:
    return struct.pack("<IBIIIH", 1000, 30, 7, 19 + len(body), 0, 0) + body


def payload(plain: bytes, method: int = 0) -> Event:
    """The outer event: compression method, end of fields, the payload."""
    body = bytes((2, 1, method, 0)) + (zstandard.compress(plain) if method == 0 else plain)
    return Event(40, 1000, 7, len(body) + 19, 5000, 0, body, 0, len(body))


def bodies(event: Event) -> list[bytes]:
    return [one.buf[one.start : one.end] for one in compressed.payload_events(event)]


@given(st.lists(st.binary(max_size=200), max_size=30), st.integers(1, 64))
def test_events_come_out_whole_however_they_are_cut(events: list[bytes], piece: int):
    """An event across two pieces that is cut wrongly is another event."""
    plain = b"".join(inner(body) for body in events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "_pieces", lambda _: [plain[at : at + piece] for at in range(0, len(plain), piece)])
        assert bodies(payload(plain)) == events


def test_an_event_of_many_pieces_takes_time_in_proportion():
    """Joined anew at each piece, 256 MB took minutes, in which the server gave up the connection."""
    large = bytes(64 << 20)
    assert bodies(payload(inner(large) + inner(b"x"))) == [large, b"x"]


def test_inner_events_have_the_place_of_the_payload():
    """Reading can begin nowhere else."""
    (one,) = compressed.payload_events(payload(inner(b"x")))
    assert (one.end_position, one.kind, one.server_id) == (5000, 30, 7)


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (payload(inner(b"abc")[:-1]), "middle of an event"),
        (payload(b"\0" * 40), "an event of 0 bytes"),
        (payload(b"", method=7), "method 7"),
        (payload(b"x" * 30)._replace(buf=bytes((2, 1, 0, 0)) + b"no zstd at all", end=18), "cannot be decompressed"),
    ],
)
def test_a_damaged_payload_is_refused(event: Event, found: str):
    """Ended early, the rest of the transaction is gone."""
    with pytest.raises(UnreadableData, match=found):
        list(compressed.payload_events(event))
