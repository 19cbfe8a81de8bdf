"""
The generated walkers: from the bytes of rows to primary keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meepo2_cdc.capture.binlog import rows as rows_module
from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.tables import TableLayout
from meepo2_cdc.errors import UnreadableData
from tests.unit.row_writer import KINDS, Kind, Value, bitmap, image, integer, key_bytes, layout, sized

KEY_KINDS = [kind for kind in KINDS if kind.in_keys]
INT = integer(t.LONG, 4, False)
TEXT = sized(t.VARCHAR, 40, 1, 40, "utf8mb4")
BEFORE, AFTER = b"before" * 3, b"\x07behind" * 3  # what stands around the rows in the same buffer


@dataclass(frozen=True)
class Event:
    """Rows of one layout as bytes, where each row ends in them, and the keys they hold."""

    layout: TableLayout
    bitmaps: bytes
    images: int
    body: bytes
    ends: list[int]
    keys: list[bytes]

    def read(self, end: int | None = None, buffer: bytes | None = None) -> list[bytes]:
        walker = self.layout.walker(self.bitmaps, self.images)
        buf = BEFORE + self.body + AFTER if buffer is None else buffer
        return walker.keys(buf, len(BEFORE), len(BEFORE) + (len(self.body) if end is None else end))


@st.composite
def events(draw: st.DrawFn, most_rows: int = 6) -> Event:
    """Any layout, with any columns present in each image; the before image always has the key."""
    kinds = draw(st.lists(st.sampled_from(KINDS), max_size=20))
    kinds.insert(draw(st.integers(0, len(kinds))), draw(st.sampled_from(KEY_KINDS)))
    able = [index for index, kind in enumerate(kinds) if kind.in_keys]
    key = draw(st.lists(st.sampled_from(able), min_size=1, max_size=4, unique=True))
    images = draw(st.sampled_from((1, 2)))
    some = [draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds))) for _ in range(images)]
    present = [
        [index for index in range(len(kinds)) if bits[index] or (index in key and n == 0)]
        for n, bits in enumerate(some)
    ]
    body, ends, keys = b"", [], []
    for _ in range(draw(st.integers(1, most_rows))):
        held: dict[int, Value | None] = {}
        for columns in present:
            values = {index: draw(_value(kinds[index], index in key)) for index in columns}
            held |= values
            body += image([values[index] for index in columns], spare=draw(st.booleans()))
            keys.append(key_bytes([held[index].part for index in key]))  # type: ignore[union-attr]
        ends.append(len(body))
    bitmaps = b"".join(bitmap([index in columns for index in range(len(kinds))], False) for columns in present)
    return Event(layout(kinds, key), bitmaps, images, body, ends, keys)


def _value(kind: Kind, in_key: bool) -> st.SearchStrategy[Value | None]:
    return kind.values if in_key else st.none() | kind.values


@given(events())
def test_keys_are_those_of_the_rows_whatever_columns_and_nulls_are_around_them(event: Event):
    """A key from the wrong bytes names a row that is not there, and the one that changed stays stale."""
    assert event.read() == event.keys


@given(events(), st.data())
def test_rows_that_end_too_early_are_refused(event: Event, data: st.DataObject):
    """Half a row would give a key of what happens to lie behind it."""
    cut = data.draw(st.integers(0, len(event.body) - 1))
    for buffer in (BEFORE + event.body + AFTER, BEFORE + event.body[:cut]):
        if cut in (0, *event.ends):
            images = event.images * sum(end <= cut for end in event.ends)
            assert event.read(cut, buffer) == event.keys[:images]
        else:
            with pytest.raises(UnreadableData):
                event.read(cut, buffer)


@given(events(), st.data())
def test_damaged_bytes_give_keys_or_a_refusal_and_nothing_else(event: Event, data: st.DataObject):
    """An exception of another kind would be taken for a fault of the program, and retried for ever."""
    at = data.draw(st.integers(0, len(event.body) - 1))
    damaged = bytearray(event.body)
    damaged[at] ^= data.draw(st.integers(1, 255))
    try:
        found = event.read(buffer=BEFORE + bytes(damaged) + AFTER)
    except UnreadableData:
        return
    assert len(found) % event.images == 0


@given(st.binary(max_size=200), events(most_rows=1))
def test_bytes_that_are_no_rows_end_in_keys_or_a_refusal(noise: bytes, event: Event):
    """A walk that does not move on would hang the capture."""
    try:
        found = event.read(end=len(noise), buffer=BEFORE + noise + AFTER)
    except UnreadableData:
        return
    assert len(found) <= len(noise) * event.images


def _one_length_off(by: int) -> tuple[bytes, TableLayout]:
    """Two rows (text, id, text); the first text's length is wrong."""
    kinds = [TEXT, INT, TEXT]
    rows = b"".join(image([Value(b"\3abc", ""), Value(bytes((n, 0, 0, 0)), n), Value(b"\4defg", "")]) for n in (1, 2))
    return rows[:1] + bytes((3 + by,)) + rows[2:], layout(kinds, [1])


@pytest.mark.parametrize("by", [-3, -1, 1, 2, 40, 200])
def test_a_length_that_does_not_add_up_is_refused(by: int):
    """The keys before the fault must not go out either: nobody knows where it began."""
    body, table = _one_length_off(by)
    with pytest.raises(UnreadableData):
        table.walker(b"\7", 1).keys(body, 0, len(body))


@given(st.data(), st.integers(20, 60))
def test_more_null_patterns_than_are_kept_apart_are_walked_all_the_same(data: st.DataObject, count: int):
    """Beyond a number of patterns another path is generated: it must step over the same columns."""
    kinds = [*[INT, TEXT] * 4, INT, *[TEXT, INT] * 4]
    patterns = data.draw(st.lists(st.integers(0, 65535), min_size=count, max_size=count, unique=True))
    body, keys = b"", []
    for number, pattern in enumerate(patterns):
        beside: list[Value | None] = [
            None
            if pattern >> n & 1
            else (Value(b"\1\0\0\0", 1) if kinds[n if n < 8 else n + 1] is INT else Value(b"\3xyz", ""))
            for n in range(16)
        ]
        values = [*beside[:8], Value(number.to_bytes(4, "little"), number), *beside[8:]]
        body += image(values)
        keys.append(key_bytes([number]))
    walker = layout(kinds, [8]).walker(b"\xff\xff\xff", 1)
    assert walker.keys(body, 0, len(body)) == keys
    assert walker.keys(body, 0, len(body)) == keys  # now that all patterns are known


def test_patterns_that_are_first_seen_in_the_middle_of_an_event_give_each_row_once():
    """The walk begins anew at the row with the new pattern, not at the event."""
    kinds = [INT, TEXT]
    rows = [image([Value(n.to_bytes(4, "little"), n), None if n % 3 else Value(b"\1x", "x")]) for n in range(7)]
    body = b"".join(rows)
    assert layout(kinds, [0]).walker(b"\3", 1).keys(body, 0, len(body)) == [key_bytes([n]) for n in range(7)]


def test_the_search_for_the_right_path_ends_at_the_stated_number_of_patterns():
    """Thousands of paths would make the function itself the load."""
    kinds = [INT, *[TEXT] * 8]
    rows = [
        image([Value(b"\1\0\0\0", 1), *[None if n >> bit & 1 else Value(b"\0", "") for bit in range(8)]])
        for n in range(200)
    ]
    walker = layout(kinds, [0]).walker(b"\xff\1", 1)
    body = b"".join(rows)
    assert walker.keys(body, 0, len(body)) == [key_bytes([1])] * 200
    assert len(walker._images[0].patterns) == rows_module._PATTERNS_LIMIT + 1


@pytest.mark.parametrize("count", [1, 40])
def test_a_null_in_the_key_is_refused(count: int):
    """No key is null; the row is not of this layout."""
    kinds = [INT, *[TEXT] * 8]
    known = [
        image([Value(b"\1\0\0\0", 1), *[None if n >> bit & 1 else Value(b"\0", "") for bit in range(8)]])
        for n in range(count)
    ]
    body = b"".join(known) + image([None, *[Value(b"\0", "")] * 8])
    with pytest.raises(UnreadableData, match=r"null in .*key column"):
        layout(kinds, [0]).walker(b"\xff\1", 1).keys(body, 0, len(body))


def test_an_image_without_the_key_is_refused():
    """Sessions may log changed columns only; the key must be among them."""
    with pytest.raises(UnreadableData, match="lacks the key column number 2"):
        layout([INT, INT], [1]).walker(b"\1", 1)


def test_a_part_of_the_key_that_did_not_change_comes_from_before():
    """With binlog_row_image=MINIMAL the after image has the changed columns only."""
    kinds = [INT, TEXT, INT]
    before = image([Value(b"\5\0\0\0", 5), Value(b"\1a", "a"), Value(b"\7\0\0\0", 7)])
    after = image([Value(b"\x08\0\0\0", 8)])
    body = (before + after) * 2
    walker = layout(kinds, [2, 1, 0]).walker(b"\7\4", 2)
    assert walker.keys(body, 0, len(body)) == [key_bytes([7, "a", 5]), key_bytes([8, "a", 5])] * 2


@pytest.mark.parametrize("bitmaps", [b"", b"\3", b"\3\3\3"])
def test_bitmaps_of_another_number_of_columns_are_refused(bitmaps: bytes):
    """Rows of a table with other columns than the table map would be cut at the wrong places."""
    with pytest.raises(UnreadableData, match="columns"):
        layout([INT, TEXT], [0]).walker(bitmaps, 2)


def test_rows_of_updates_with_differences_of_json_values_have_their_options_stepped_over():
    """PARTIAL_JSON puts options in front of the after image, and a bitmap over the JSON columns if any differ."""
    json = sized(t.JSON, 4, 4, 60, None)
    kinds = [Kind(t.Column(t.JSON, 4), json.values), INT]
    row = [Value(b"\2\0\0\0{}", ""), Value(b"\5\0\0\0", 5)]
    body = image(row) + b"\0" + image(row) + image(row) + b"\1\1" + image(row)
    walker = layout(kinds, [1]).walker(b"\3\3", 2, partial_json=True)
    assert walker.keys(body, 0, len(body)) == [key_bytes([5])] * 4
