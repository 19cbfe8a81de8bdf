"""
All columns of a rows event, for the tables whose rows are published.

The same generated walk as for keys (rows.py), over the chosen columns in place of the key's: what comes out for each
image is an Avro map of named values.  Only what the log itself says is believed: names, character sets and labels come
from FULL metadata, and every chosen column must be in the row.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.keyparts import PartDecoder, value_decoder
from meepo2_cdc.capture.binlog.rows import Image, KeyWalker, Walk, _compiled, _is_null, _Source, _UnseenNulls
from meepo2_cdc.capture.binlog.tables import Catalog, TableLayout, column_names, described, read_table_map
from meepo2_cdc.config import RowsSettings
from meepo2_cdc.errors import ConfigError, UnreadableData
from meepo2_cdc.records import Action, wire
from meepo2_cdc.source_address import read_secret
from meepo2_cdc.table_filter import TableFilter

NULL = b"\x08"
"""Branch 4 of a value's union; the branches before it are those of a key part."""

MASK = wire.string_part("***")
_FULL_FIX = "Run on the server:  SET GLOBAL binlog_row_metadata = FULL;   (MySQL 8: SET PERSIST)"
_IMAGE_FIX = "Run on the server:  SET GLOBAL binlog_row_image = FULL;   (sessions that are open keep the old value)"
_PARTIAL_FIX = "Run on the server:  SET GLOBAL binlog_row_value_options = '';   (sessions that are open keep it)"


_SIZE_FIX = (
    "Raise max_bytes in [[capture.rows]], and message.max.bytes in [kafka] and of the topic;\n"
    'or set oversize = "key-only" or "dead-letter" there.'
)


class PartialJson(UnreadableData):
    """An update logged what changed within a JSON value, and not the value."""


Named = tuple[int, bytes, PartDecoder]
"""A chosen column: its index, its name as Avro has it, and how its bytes are encoded."""


@dataclass(slots=True)
class Payload:
    """How the rows of one layout are read as a whole; `rule` is what the settings say of the table."""

    rule: RowsSettings
    layout: TableLayout
    columns: tuple[Named, ...]
    unsigned: frozenset[int]
    changed: frozenset[int]
    is_unreadable: bool = False
    _walkers: dict[tuple[bytes, int, bool], RowWalker] = field(default_factory=dict)

    @classmethod
    def unreadable(cls, layout: TableLayout) -> Payload:
        """Of a table whose rows should be published and cannot be read."""
        return cls(RowsSettings(tables=("*.*",)), layout, (), frozenset(), frozenset(), is_unreadable=True)

    def images(self, bitmaps: bytes, images: int, buf: bytes, start: int, end: int, *, partial: bool) -> list[bytes]:
        """The encoded maps between start and end: one a row, or for updates the old and the new of each in turn."""
        walker = self._walkers.get((bitmaps, images, partial))
        if walker is None:
            walker = self._walkers[bitmaps, images, partial] = self._walker(bitmaps, images, partial)
        return walker.keys(buf, start, end)

    def refuse_oversize(self, action: Action, keys: Sequence[bytes], images: Sequence[bytes]) -> None:
        """
        Raises UnreadableData for values that are too large, where the rule says so.

        Here, as they are read, so that nothing of their event is given out yet.
        """
        most = self.rule.max_bytes
        if self.rule.oversize != "fail" or max(map(len, images), default=0) * 2 <= most:
            return
        sizes = list(map(len, images))
        if action is Action.UPDATE:  # of a changed key two records are made
            pairs = range(0, len(sizes), 2)
            sizes = [sizes[n] + sizes[n + 1] if keys[n] == keys[n + 1] else max(sizes[n : n + 2]) for n in pairs]
        if max(sizes) > most:
            raise UnreadableData(
                f"the values of a row have {max(sizes)} bytes, and {most} are the limit", fix=_SIZE_FIX
            )

    def _walker(self, bitmaps: bytes, images: int, partial: bool) -> RowWalker:
        size = self.layout.bitmap_bytes
        present = [self.layout.present(bitmaps[n * size : (n + 1) * size]) for n in range(images)]
        if any(index not in present[0] for index, _, _ in self.columns):
            raise UnreadableData("a row lacks columns that are to be published (binlog_row_image)", fix=_IMAGE_FIX)
        return RowWalker(self, [Image(columns, partial and n == 1) for n, columns in enumerate(present)])


class RowWalker(KeyWalker):
    """Walks rows as a KeyWalker does, and takes the payload's columns as a map."""

    def __init__(self, payload: Payload, images: Sequence[Image]) -> None:
        self._payload = payload
        key = [(index, index in payload.unsigned, decode) for index, _, decode in payload.columns]
        super().__init__(payload.layout.columns, key, images)

    def _learn(self, unseen: _UnseenNulls) -> None:
        self._images[unseen.image].patterns.append(unseen.nulls)
        self._walk = self._compile()

    def _compile(self) -> Walk:
        source = _RowSource(self._columns, self._key, self._images, self._payload)
        scope = source.names
        exec(_compiled(source.text()), scope)  # noqa: S102  as KeyWalker: numbers and fixed text only
        walk: Walk = scope["walk"]  # type: ignore[assignment]
        return walk


class _RowSource(_Source):
    """As the walk for keys, but that columns may be null and have names."""

    def __init__(
        self,
        columns: Sequence[t.Column],
        key: Sequence[tuple[int, bool, PartDecoder]],
        images: Sequence[Image],
        payload: Payload,
    ) -> None:
        super().__init__(columns, key, images)
        self._changed = payload.changed
        self.names |= {f"name{slot}": name for slot, (_, name, _) in enumerate(payload.columns)}
        self.names |= {"NULL": NULL, "partial": _refuse_partial}

    def _straight_path(self, image: Image, nulls: int) -> None:
        super()._straight_path(image, nulls)
        for index in image.present:
            if index in self._slot and _is_null(image, index, nulls):
                self._line(f"k{self._slot[index]} = NULL")

    def _on_null(self, index: int) -> str:
        return f"k{self._slot[index]} = NULL"

    def _fixed_part(self, slot: int, column: t.Column, unsigned: bool, skip: int, size: int) -> None:
        if slot in self._changed:
            self._line(f"k{slot} = part{slot}(buf[p + {skip}:p + {skip + size}])")
        else:
            super()._fixed_part(slot, column, unsigned, skip, size)

    def _partial_json(self, bitmap_bytes: int) -> None:
        """A bit for each JSON column whose difference stands in place of its value."""
        json = [index for index, column in enumerate(self._columns) if column.type == t.JSON]
        chosen = sum(1 << n for n, index in enumerate(json) if index in self._slot)
        self._line(f"if buf[p] & 1 and from_bytes(buf[p + 1:p + {1 + bitmap_bytes}], 'little') & {chosen}: partial()")
        super()._partial_json(bitmap_bytes)

    def _key_expression(self) -> str:
        """The values as an Avro map.  A value missing from an after image is that of the before image."""
        if not self._slot:
            return "b'\\0'"
        parts = " + ".join(f"name{slot} + k{slot}" for slot in range(len(self._slot)))
        return f"{wire.long(len(self._slot))!r} + {parts} + b'\\0'"


def _refuse_partial() -> None:
    raise PartialJson(
        "an update logged only what changed within a JSON value (binlog_row_value_options=PARTIAL_JSON)",
        fix=_PARTIAL_FIX,
    )


class Payloads:
    """The tables whose rows are published, by the rules of the settings: the first that means a table counts."""

    def __init__(self, rules: Sequence[RowsSettings], catalog: Catalog) -> None:
        self._catalog = catalog
        self._rules = [(TableFilter(rule.tables), rule, _key_of(rule)) for rule in rules]

    def of(self, layout: TableLayout, body: bytes) -> Payload | None:
        """
        How to read the whole rows of a table map; None where they are not wanted.

        Raises UnreadableData where the log does not say enough.
        """
        for tables, rule, key in self._rules:
            if tables.passes(layout.schema, layout.table):
                return self._payload(layout, body, rule, key)
        return None

    def _payload(self, layout: TableLayout, body: bytes, rule: RowsSettings, key: bytes) -> Payload:
        table = read_table_map(body)
        names = column_names(table)
        if names is None:
            raise UnreadableData(
                f"rows of {layout.qualified_table} are to be published, and the log does not say how its columns are"
                " called (binlog_row_metadata is not FULL)",
                fix=_FULL_FIX,
            )
        chosen = [index for index, name in enumerate(names) if _means(rule.columns, name)]
        describe = described(table, self._catalog)
        columns, changed = [], set()
        for slot, column in enumerate(map(describe, chosen)):
            name = names[column.index]
            decode = value_decoder(layout.columns[column.index], column, self._catalog.text_decoder)
            how = _changed(rule, name, key)
            if how is not None:
                changed.add(slot)
                decode = how(decode)
            columns.append((column.index, wire.string(name), decode))
        unsigned = frozenset(index for index in chosen if describe(index).unsigned)
        return Payload(rule, layout, tuple(columns), unsigned, frozenset(changed))


def _key_of(rule: RowsSettings) -> bytes:
    if rule.hash_key_file is None:
        return b""
    key = read_secret(rule.hash_key_file, "capture.rows hash_key_file").encode()
    if not key:
        raise ConfigError(f"capture.rows hash_key_file {rule.hash_key_file} is empty")
    return key


def _means(patterns: Sequence[str], name: str) -> bool:
    """As table patterns: some pattern means it, and none that begins with ! does.  Column names know no case."""
    name = name.lower()
    wanted = [one.lower() for one in patterns if not one.startswith("!")] or ["*"]
    unwanted = [one[1:].lower() for one in patterns if one.startswith("!")]
    return any(fnmatchcase(name, one) for one in wanted) and not any(fnmatchcase(name, one) for one in unwanted)


def _changed(rule: RowsSettings, name: str, key: bytes) -> Callable[[PartDecoder], PartDecoder] | None:
    """What is done to a column's value before it is published; a null stays one."""
    if rule.mask and _means(rule.mask, name):
        return lambda decode: lambda raw: MASK
    if rule.hash and _means(rule.hash, name):
        return lambda decode: lambda raw: hashed(decode(raw), key)
    return None


def hashed(part: bytes, key: bytes) -> bytes:
    """HMAC-SHA256 in hexadecimal of the bytes, of text as UTF-8, of a number as its shortest digits."""
    return wire.string_part(hmac.new(key, _plain(part), hashlib.sha256).hexdigest())


def _plain(part: bytes) -> bytes:
    branch, rest = part[0], part[1:]
    if branch == 2:
        return repr(struct.unpack("<d", rest)[0]).encode()
    number = shift = at = 0
    while True:
        number |= (rest[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if rest[at - 1] < 128:
            break
    return rest[at:] if branch else str(number >> 1 ^ -(number & 1)).encode()
