"""
Which primary keys a rows event touches, without decoding its rows.

For each layout a Python function is generated that walks a row and takes the key parts only: one straight path for
each pattern of nulls that has been seen, where neighbouring columns of fixed size are stepped over in one addition.
Only numbers enter the generated source, never a name from the server.

Row format: MySQL libbinlogevents/include/rows_event.h (an image is a bitmap of nulls over the columns present, then
the values that are not null).  Knows the binlog's bytes; knows nothing of Kafka or sockets.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.keyparts import PartDecoder
from meepo2_cdc.errors import UnreadableData
from meepo2_cdc.records import wire

Walk = Callable[[bytes, int, int, Callable[[bytes], None]], int]

_PATTERNS_LIMIT = 24
"""Beyond so many null patterns, one path with a test for each column is faster than the search for the right path."""


_SOURCES_LIMIT = 1000


class _UnseenNulls(Exception):
    def __init__(self, image: int, nulls: int, row: int) -> None:
        self.image, self.nulls, self.row = image, nulls, row


@dataclass(slots=True)
class Image:
    """The before or the after half of a row: which columns it holds, and the null patterns met so far."""

    present: tuple[int, ...]
    partial_json: bool = False
    patterns: list[int] = field(default_factory=list)

    @property
    def bitmap_bytes(self) -> int:
        return (len(self.present) + 7) // 8


class KeyWalker:
    """
    Walks the rows of one table layout with one set of columns present.

    `key` gives the key parts in key order: the column's index, whether it is unsigned, and its decoder.
    """

    def __init__(
        self,
        columns: Sequence[t.Column],
        key: Sequence[tuple[int, bool, PartDecoder]],
        images: Sequence[Image],
    ) -> None:
        self._columns = columns
        self._key = key
        self._images = images
        missing = [index for index, _, _ in key if index not in images[0].present]
        if missing:
            raise UnreadableData(f"a row image lacks the key column number {missing[0] + 1}")
        self._walk = self._compile()

    def keys(self, buf: bytes, start: int, end: int) -> list[bytes]:
        """
        The encoded primary key of each row between start and end; for an update, of each image in turn.

        Raises UnreadableData when the bytes are not rows of this layout.
        """
        found: list[bytes] = []
        at = start
        while at < end:
            try:
                at = self._walk(buf, at, end, found.append)
            except _UnseenNulls as unseen:
                self._learn(unseen)
                at = unseen.row
            except (IndexError, struct.error, ValueError, OverflowError) as error:
                raise UnreadableData(f"a rows event does not fit its table map: {error}") from error
        if at != end:
            raise UnreadableData(f"a rows event ends {at - end} bytes away from where its rows do")
        return found

    def _learn(self, unseen: _UnseenNulls) -> None:
        image = self._images[unseen.image]
        nulls_in_key = [
            index for index, _, _ in self._key if index in image.present and _is_null(image, index, unseen.nulls)
        ]
        if nulls_in_key:
            raise UnreadableData(f"a row is null in its key column number {nulls_in_key[0] + 1}")
        image.patterns.append(unseen.nulls)
        self._walk = self._compile()

    def _compile(self) -> Walk:
        source = _Source(self._columns, self._key, self._images)
        scope = source.names
        exec(_compiled(source.text()), scope)  # noqa: S102  the source is made of numbers and of the fixed text below
        walk: Walk = scope["walk"]  # type: ignore[assignment]
        return walk


@lru_cache(_SOURCES_LIMIT)
def _compiled(source: str) -> CodeType:
    """Tables of the same layout, a thousand of one tenant each, are compiled once."""
    return compile(source, "<walk>", "exec")


def _is_null(image: Image, column: int, nulls: int) -> bool:
    return bool(nulls >> image.present.index(column) & 1)


class _Source:
    """Writes the function `walk(buf, p, end, out)`."""

    def __init__(
        self,
        columns: Sequence[t.Column],
        key: Sequence[tuple[int, bool, PartDecoder]],
        images: Sequence[Image],
    ) -> None:
        self._columns = columns
        self._images = images
        self._slot = {index: slot for slot, (index, _, _) in enumerate(key)}
        self._unsigned = {index: unsigned for index, unsigned, _ in key}
        self._lines: list[str] = []
        self._depth = 1
        self.names: dict[str, object] = {
            "ENDS": wire.ENDS, "MORE": wire.MORE, "varint": wire.varint, "long_part": wire.long_part,
            "Unseen": _UnseenNulls, "from_bytes": int.from_bytes,
            **{f"{code}{size}": struct.Struct(f"<{fmt}").unpack_from for code, size, fmt in _STRUCTS},
            **{f"part{slot}": decoder for slot, (_, _, decoder) in enumerate(key)},
        }  # fmt: skip

    def text(self) -> str:
        self._line("while p < end:")
        self._depth += 1
        self._line("row = p")
        for number, image in enumerate(self._images):
            self._image(number, image)
            self._line(f"key{number} = {self._key_expression()}")
        for number in range(len(self._images)):  # behind the row, which may turn out to have an unseen pattern
            self._line(f"out(key{number})")
        return "\n".join(["def walk(buf, p, end, out):", *self._lines, "    return p", ""])

    def _line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)

    def _image(self, number: int, image: Image) -> None:
        size = image.bitmap_bytes
        if image.partial_json:
            # options; if the lowest bit is set, a bitmap over the table's JSON columns (rows_event.h, Rows_event)
            json_columns = sum(column.type == t.JSON for column in self._columns)
            self._partial_json((json_columns + 7) // 8)
        self._line("nulls = buf[p]" if size == 1 else f"nulls = from_bytes(buf[p:p + {size}], 'little')")
        if len(image.patterns) > _PATTERNS_LIMIT:
            self._any_path(image)
            return
        for place, nulls in enumerate(image.patterns):
            self._line(f"{'elif' if place else 'if'} nulls == {nulls}:")
            self._depth += 1
            self._straight_path(image, nulls)
            self._depth -= 1
        if image.patterns:
            self._line("else:")
            self._depth += 1
        self._line(f"raise Unseen({number}, nulls, row)")
        self._depth -= bool(image.patterns)

    def _partial_json(self, bitmap_bytes: int) -> None:
        self._line(f"p += {1 + bitmap_bytes} if buf[p] & 1 else 1")

    def _straight_path(self, image: Image, nulls: int) -> None:
        """Steps over a run of columns of fixed size by one addition: `skip` is what is owed to p."""
        skip, before = image.bitmap_bytes, len(self._lines)
        for bit, index in enumerate(image.present):
            if not nulls >> bit & 1:
                skip = self._column(index, skip)
        if skip or len(self._lines) == before:
            self._line(f"p += {skip}")

    def _any_path(self, image: Image) -> None:
        self._line(f"p += {image.bitmap_bytes}")
        for bit, index in enumerate(image.present):
            self._line(f"if not nulls & {1 << bit}:")
            self._depth += 1
            skip = self._column(index, 0)
            self._line(f"p += {skip}")
            self._depth -= 1
            if index in self._slot:
                self._line(f"else: {self._on_null(index)}")

    def _on_null(self, index: int) -> str:
        return f"raise ValueError('null in key column {index + 1}')"

    def _column(self, index: int, skip: int) -> int:
        """Takes or passes one column that begins at p + skip; returns what is owed to p behind it."""
        column = self._columns[index]
        slot = self._slot.get(index)
        size = t.fixed_size(column)
        if size is not None:
            if slot is not None:
                self._fixed_part(slot, column, self._unsigned[index], skip, size)
            return skip + size
        width = t.length_bytes(column)
        length = _length_expression(width, skip)
        behind = skip + width
        if slot is None:
            self._line(f"p += {length} + {behind}")
        else:
            self._line(f"n = {length}")
            self._line(f"p += {behind}")
            self._line(f"k{slot} = part{slot}(buf[p:p + n])")
            self._line("p += n")
        return 0

    def _fixed_part(self, slot: int, column: t.Column, unsigned: bool, skip: int, size: int) -> None:
        read = _INTEGERS.get((column.type, unsigned))
        if read is None:
            self._line(f"k{slot} = part{slot}(buf[p + {skip}:p + {skip + size}])")
            return
        self._line(f"v = {read.format(*(f'p + {skip + n}' for n in range(3)))}")
        if (column.type, unsigned) == (t.LONGLONG, True):
            self._line(f"k{slot} = long_part(v)")
            return
        self._line("v <<= 1" if unsigned else "v = v << 1 if v >= 0 else ~(v << 1)")
        self._line(
            f"k{slot} = b'\\0' + (ENDS[v] if v < 16384 else MORE[v & 16383] + ENDS[v >> 14]"
            " if v < 268435456 else varint(v))"
        )

    def _key_expression(self) -> str:
        """The parts as an Avro array.  A part missing from an after image is that of the before image."""
        if not self._slot:
            return "b''"  # rows are only counted
        parts = " + ".join(f"k{slot}" for slot in range(len(self._slot)))
        return f"{wire.long(len(self._slot))!r} + {parts} + b'\\0'"


_STRUCTS = (("U", 2, "H"), ("I", 2, "h"), ("U", 4, "I"), ("I", 4, "i"), ("U", 8, "Q"), ("I", 8, "q"))

_INTEGERS = {
    (t.TINY, True): "buf[{0}]",
    (t.TINY, False): "(buf[{0}] ^ 128) - 128",
    (t.SHORT, True): "U2(buf, {0})[0]",
    (t.SHORT, False): "I2(buf, {0})[0]",
    (t.INT24, True): "buf[{0}] | buf[{1}] << 8 | buf[{2}] << 16",
    (t.INT24, False): "((buf[{0}] | buf[{1}] << 8 | buf[{2}] << 16) ^ 8388608) - 8388608",
    (t.LONG, True): "U4(buf, {0})[0]",
    (t.LONG, False): "I4(buf, {0})[0]",
    (t.LONGLONG, True): "U8(buf, {0})[0]",
    (t.LONGLONG, False): "I8(buf, {0})[0]",
}


def _length_expression(width: int, skip: int) -> str:
    if width == 1:
        return f"buf[p + {skip}]"
    if width == 2:
        return f"(buf[p + {skip}] | buf[p + {skip + 1}] << 8)"
    return f"from_bytes(buf[p + {skip}:p + {skip + width}], 'little')"
