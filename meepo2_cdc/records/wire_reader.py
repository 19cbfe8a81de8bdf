"""
TableAction v1 read from its bytes in one pass, for readers of whole topics.

Consecutive records of a partition mostly differ in the key, the low bits of seq and the row, so what equals
the last record's bytes is taken from it.  Whatever is not as this program's own writer makes it (long names,
negative block counts, other versions) gives None and goes to fastavro instead; a test holds both equal.

Source of the format: Avro specification 1.11, "Binary Encoding".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as StructError

from meepo2_cdc.records.table_action import Action, KeyPart, Source, TableAction

_ACTIONS = {0: Action.WRITE, 2: Action.UPDATE, 4: Action.DELETE, 6: Action.TRUNCATE}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_double = Struct("<d").unpack_from
_NAMES_KEPT = 4096

Head = tuple[Action, str, str]


class ActionReader:
    """Reads one record after another; not to be shared between threads, since it remembers the last one."""

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        self._time = (b"", _EPOCH)
        self._high = (b"", 0)
        self._place: tuple[bytes, tuple[str, str | None, str | None, int | None]] = (
            b"",
            ("", None, None, None),
        )

    def read(self, raw: bytes, at: int) -> TableAction | None:
        """The record that begins at byte `at`; None when another reader must have it."""
        try:
            return self._read(raw, at)
        except (IndexError, KeyError, ValueError, OverflowError, StructError):
            return None

    def _read(self, raw: bytes, at: int) -> TableAction | None:
        table_at = at + 2 + (raw[at + 1] >> 1)
        pk_at = table_at + 1 + (raw[table_at] >> 1)
        action, schema, table = self._heads.get(raw[at:pk_at]) or self._head(raw, at, table_at, pk_at)

        count = raw[pk_at]
        if count == 2 and raw[pk_at + 1] == 0:  # one integer: the key of nearly every table
            b = raw[pk_at + 2]
            at = pk_at + 3
            if b > 127:
                b, at = _varint(raw, at - 1)
            pk: tuple[KeyPart, ...] = (b >> 1 ^ -(b & 1),)
        else:
            pk, at = _key(raw, pk_at)
        if count:
            if raw[at]:
                return None  # a second block
            at += 1

        time = raw[at : at + 8]  # 8 bytes: microseconds of the years 1978 to 2541
        if time == self._time[0]:
            committed_at = self._time[1]
            at += 8
        else:
            committed_at, at = self._committed_at(raw, at)
        if raw[at] > 1:
            return None  # no boolean that a writer makes
        snapshot = raw[at] == 1

        high = raw[at + 4 : at + 9]
        if high == self._high[0] and raw[at + 1] & raw[at + 2] & raw[at + 3] & 128:
            low = raw[at + 1] & 127 | (raw[at + 2] & 127) << 7 | (raw[at + 3] & 127) << 14
            zigzag = self._high[1] | low
            seq = zigzag >> 1 ^ -(zigzag & 1)
            at += 9
        else:
            seq, at = self._seq(raw, at + 1)

        row_at = len(raw) - 1
        while raw[row_at - 1] > 127:
            row_at -= 1
        place = raw[at:row_at]
        if place != self._place[0]:
            self._place = place, _place(place)
        name, gtid, file, position = self._place[1]
        row = raw[row_at]
        if row > 127:
            row, _ = _varint(raw, row_at)
        return TableAction(
            action, schema, table, pk, committed_at, snapshot, seq,
            Source(name, gtid, file, position, row >> 1 ^ -(row & 1)),
        )  # fmt: skip

    def _head(self, raw: bytes, at: int, table_at: int, pk_at: int) -> Head:
        if (raw[at + 1] | raw[table_at]) & 129:
            raise ValueError("a name of more than 63 bytes")
        head = _ACTIONS[raw[at]], raw[at + 2 : table_at].decode(), raw[table_at + 1 : pk_at].decode()
        if len(self._heads) < _NAMES_KEPT:
            self._heads[raw[at:pk_at]] = head
        return head

    def _committed_at(self, raw: bytes, at: int) -> tuple[datetime, int]:
        n, end = _varint(raw, at)
        committed_at = _EPOCH + timedelta(microseconds=n >> 1 ^ -(n & 1))
        if end - at == 8:
            self._time = raw[at:end], committed_at
        return committed_at, end

    def _seq(self, raw: bytes, at: int) -> tuple[int, int]:
        n, end = _varint(raw, at)
        if end - at == 8 and not n & 1:
            self._high = raw[at + 3 : end], n >> 21 << 21
        return n >> 1 ^ -(n & 1), end


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """An unsigned number and where it ends."""
    n = shift = 0
    while True:
        b = raw[at]
        at += 1
        n |= (b & 127) << shift
        if b < 128:
            break
        shift += 7
    if n >> 64:
        raise ValueError("more than 64 bits")
    return n, at


def _text(raw: bytes, at: int) -> tuple[bytes, int]:
    n, at = _varint(raw, at)
    end = at + (n >> 1)
    if n & 1 or end > len(raw):
        raise ValueError("a length that cannot be")
    return raw[at:end], end


def _key(raw: bytes, at: int) -> tuple[tuple[KeyPart, ...], int]:
    """The parts of one block, and where the block ends; its count has one byte, or it is not read here."""
    count = raw[at]
    if count & 129:
        raise ValueError("a block of more than 63 parts, or one with its size")
    at += 1
    parts: list[KeyPart] = []
    for _ in range(count >> 1):
        branch = raw[at]
        if branch == 0:
            n, at = _varint(raw, at + 1)
            parts.append(n >> 1 ^ -(n & 1))
        elif branch == 2:
            parts.append(_double(raw, at + 1)[0])
            at += 9
        elif branch == 4:
            text, at = _text(raw, at + 1)
            parts.append(text.decode())
        elif branch == 6:
            text, at = _text(raw, at + 1)
            parts.append(text)
        else:
            raise ValueError("no such branch")
    return tuple(parts), at


def _place(raw: bytes) -> tuple[str, str | None, str | None, int | None]:
    """The source without its row; the bytes must hold exactly that."""
    name, at = _text(raw, 0)
    gtid, at = _text_or_null(raw, at)
    file, at = _text_or_null(raw, at)
    position = None
    if raw[at] == 2:
        n, at = _varint(raw, at + 1)
        position = n >> 1 ^ -(n & 1)
    elif raw[at] == 0:
        at += 1
    if at != len(raw):
        raise ValueError("bytes are left over")
    return name.decode(), gtid, file, position


def _text_or_null(raw: bytes, at: int) -> tuple[str | None, int]:
    if raw[at] == 0:
        return None, at + 1
    if raw[at] != 2:
        raise ValueError("no such branch")
    text, at = _text(raw, at + 1)
    return text.decode(), at
