"""
What the server says of itself and of its tables, beside its log.

Answers are kept until a definition changes.  The present definition of a table is used for a row event only after it
was found to fit the event's table map; where it does not, the event cannot be read and says so.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pymysql

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.connection import translated
from meepo2_cdc.capture.binlog.keyparts import KeyColumn, TextDecoder
from meepo2_cdc.capture.binlog.tables import TableMap
from meepo2_cdc.errors import UnreadableData

METADATA_FIX = (
    "Run on the server:  SET GLOBAL binlog_row_metadata = FULL;   (MySQL 8: SET PERSIST)\n"
    "Events written from then on carry their own key.  To pass over what was written before: on_unreadable = skip."
)


class TableGone(UnreadableData):
    """The table of an event no longer exists, and the event does not say what its key was."""


class ServerCatalog:
    """The catalog of one server; `connect` makes a connection for questions when one is needed."""

    def __init__(self, connect: Callable[[], pymysql.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: pymysql.Connection[Any] | None = None
        self._collations: dict[int, str] = {}
        self._decoders: dict[str, TextDecoder] = {}
        self._columns: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def forget(self, schema: str | None = None, table: str | None = None) -> None:
        """Definitions may have changed: of one table, or of all."""
        if schema is None or table is None:
            self._columns.clear()
        else:
            self._columns.pop((schema, table), None)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Rows by column name.  A connection that went away is made anew once."""
        for last in (False, True):
            try:
                if self._connection is None:
                    self._connection = self._connect()
                with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
                    cursor.execute(query, values)
                    return list(cursor.fetchall())
            except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
                self._connection = None
                if last:
                    raise translated(error, "the source") from error
        raise AssertionError("unreachable")

    # -- character sets

    def charset_of(self, collation: int) -> str | None:
        if not self._collations:
            # MariaDB numbers a collation only together with a character set
            rows = self.ask(
                "SELECT ID AS id, CHARACTER_SET_NAME AS name FROM information_schema.COLLATIONS WHERE ID IS NOT NULL"
            )
            rows += self._mariadb_collations()
            self._collations = {int(row["id"]): str(row["name"]) for row in rows if row["id"] is not None}
        if collation not in self._collations:
            raise UnreadableData(f"the log names collation number {collation}, which the server does not list")
        name = self._collations[collation]
        return None if name == "binary" else name

    def _mariadb_collations(self) -> list[dict[str, Any]]:
        found = self.ask(
            "SELECT COUNT(*) AS n FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema'"
            " AND TABLE_NAME = 'COLLATION_CHARACTER_SET_APPLICABILITY' AND COLUMN_NAME = 'ID'"
        )
        if not found[0]["n"]:
            return []
        return self.ask(
            "SELECT ID AS id, CHARACTER_SET_NAME AS name FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
        )

    def text_decoder(self, charset: str) -> TextDecoder:
        found = self._decoders.get(charset)
        if found is None:
            found = self._decoders[charset] = self._make_decoder(charset)
        return found

    def _make_decoder(self, charset: str) -> TextDecoder:
        if charset in _UNICODE:
            codec = codecs.lookup(_UNICODE[charset])
            return lambda raw: codec.decode(raw)[0]
        if (
            self.ask(
                "SELECT MAXLEN AS n FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME = %s", charset
            )[0]["n"]
            == 1
        ):
            table = self._server_decoded(charset, bytes(range(256)))
            return lambda raw: codecs.charmap_decode(raw, "strict", table)[0]
        return self._multi_byte_decoder(charset)

    def _multi_byte_decoder(self, charset: str) -> TextDecoder:
        """Python's codec where it has the same one; the server for what that cannot decode."""
        ask = lru_cache(maxsize=65536)(lambda raw: self._server_decoded(charset, raw))
        name = _MULTI_BYTE.get(charset)
        if name is None:
            return ask
        codec = codecs.lookup(name)

        def decode(raw: bytes) -> str:
            try:
                return codec.decode(raw)[0]
            except UnicodeDecodeError:
                return ask(raw)

        return decode

    def _server_decoded(self, charset: str, raw: bytes) -> str:
        if not re.fullmatch(r"[a-z0-9]+", charset):
            raise UnreadableData(f"the server lists a character set named {charset!r}")
        query = f"SELECT CONVERT(CONVERT(X'{raw.hex()}' USING {charset}) USING utf8mb4) AS text"
        return str(self.ask(query)[0]["text"])

    # -- tables

    def key_columns(self, table: TableMap) -> tuple[KeyColumn, ...]:
        definition = self._definition(table)
        if len(definition) != len(table.columns):
            raise _does_not_fit(table, f"it has {len(definition)} columns now, and had {len(table.columns)}")
        for number, (now, then) in enumerate(zip(definition, table.columns, strict=True), 1):
            expected = column_of(now)
            if expected is not None and not _fits(expected, then):
                raise _does_not_fit(table, f"column {number} is now {now['column_type']}, and was of another type")
        in_key = sorted((row["key_place"], index) for index, row in enumerate(definition) if row["key_place"])
        return tuple(_key_column(index, definition[index]) for _, index in in_key)

    def native_type(self, table: TableMap, column: int) -> str | None:
        if table.columns[column].meta not in (4, 16):
            return None
        try:
            definition = self._definition(table)
        except TableGone:
            return None
        kind = definition[column]["data_type"] if len(definition) == len(table.columns) else ""
        return kind if kind in ("uuid", "inet6", "inet4") else None

    def _definition(self, table: TableMap) -> list[dict[str, Any]]:
        names = (table.schema, table.table)
        if names not in self._columns:
            self._columns[names] = self._read_definition(*names)
        if not self._columns[names]:
            del self._columns[names]
            raise TableGone(
                f"{table.qualified_table} no longer exists, and the log does not say what its key was",
                fix=METADATA_FIX,
            )
        return self._columns[names]

    def _read_definition(self, schema: str, table: str) -> list[dict[str, Any]]:
        rows = self.ask(_DEFINITION, schema, table)
        return [{key.lower(): value for key, value in row.items()} for row in rows]


_DEFINITION = """
SELECT c.DATA_TYPE AS data_type, c.COLUMN_TYPE AS column_type, c.CHARACTER_SET_NAME AS charset,
       c.CHARACTER_OCTET_LENGTH AS octets, c.NUMERIC_PRECISION AS digits, c.NUMERIC_SCALE AS scale,
       c.DATETIME_PRECISION AS fraction, s.SEQ_IN_INDEX AS key_place
FROM information_schema.COLUMNS c
LEFT JOIN information_schema.STATISTICS s
  ON s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME AND s.COLUMN_NAME = c.COLUMN_NAME
  AND s.INDEX_NAME = 'PRIMARY'
WHERE c.TABLE_SCHEMA = %s AND c.TABLE_NAME = %s
ORDER BY c.ORDINAL_POSITION
"""

_UNICODE = {
    "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "ascii": "ascii", "ucs2": "utf-16-be",
    "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be",
}  # fmt: skip
_MULTI_BYTE = {
    "gbk": "gbk", "gb2312": "gb2312", "gb18030": "gb18030", "big5": "big5", "euckr": "cp949", "ujis": "euc_jp",
    "sjis": "shift_jis", "cp932": "cp932",
}  # fmt: skip

_PLAIN = {
    "tinyint": t.TINY, "smallint": t.SHORT, "mediumint": t.INT24, "int": t.LONG, "bigint": t.LONGLONG,
    "float": t.FLOAT, "double": t.DOUBLE, "date": t.DATE, "year": t.YEAR, "json": t.JSON,
}  # fmt: skip
_LENGTH_OF_BLOB = {"tiny": 1, "": 2, "medium": 3, "long": 4}


def column_of(row: dict[str, Any]) -> t.Column | None:
    """How a column defined so is written to the log; None where that is not known, and so not compared."""
    kind = row["data_type"]
    if kind in _PLAIN:
        return t.Column(_PLAIN[kind], 0)
    if kind == "decimal":
        return t.Column(t.NEWDECIMAL, row["digits"] << 8 | row["scale"])
    if kind in ("varchar", "varbinary"):
        return t.Column(t.VARCHAR, row["octets"])
    if kind in ("char", "binary"):
        return t.Column(t.STRING, row["octets"])
    if kind in ("time", "datetime", "timestamp"):
        code = {"time": t.TIME2, "datetime": t.DATETIME2, "timestamp": t.TIMESTAMP2}[kind]
        return t.Column(code, row["fraction"] or 0)
    if kind in ("enum", "set"):
        return t.Column(t.ENUM if kind == "enum" else t.SET, _label_bytes(kind, len(labels_of(row["column_type"]))))
    if kind == "bit":
        return t.Column(t.BIT, row["digits"])
    blob = re.fullmatch(r"(tiny|medium|long|)(blob|text)", kind)
    return t.Column(t.BLOB, _LENGTH_OF_BLOB[blob[1]]) if blob else None


_WITHOUT_META = frozenset(_PLAIN.values())
_OLD_TEMPORAL = {t.TIME: t.TIME2, t.DATETIME: t.DATETIME2, t.TIMESTAMP: t.TIMESTAMP2}
_COMPRESSED = {t.BLOB_COMPRESSED: t.BLOB, t.VARCHAR_COMPRESSED: t.VARCHAR}


def _fits(now: t.Column, then: t.Column) -> bool:
    if then.type in _OLD_TEMPORAL:
        return now.type == _OLD_TEMPORAL[then.type]
    if then.type in _COMPRESSED:
        return now.type == _COMPRESSED[then.type]
    return now.type == then.type and (now.type in _WITHOUT_META or now.meta == then.meta)


def _label_bytes(kind: str, count: int) -> int:
    """ENUM: one byte to 255 labels; SET: one bit a label, in 1, 2, 3, 4 or 8 bytes (MySQL sql/field.h)."""
    if kind == "enum":
        return 1 if count < 256 else 2
    size = (count + 7) // 8
    return size if size <= 4 else 8


def _key_column(index: int, row: dict[str, Any]) -> KeyColumn:
    kind, declared = row["data_type"], row["column_type"]
    return KeyColumn(
        index,
        unsigned="unsigned" in declared or "zerofill" in declared,
        charset=None if row["charset"] in (None, "binary") else row["charset"],
        labels=tuple(labels_of(declared)) if kind in ("enum", "set") else (),
        native=kind if kind in ("uuid", "inet6", "inet4") else None,
    )


_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "Z": "\x1a"}


def labels_of(column_type: str) -> list[str]:
    """The labels in enum('a','it''s'), as information_schema spells them."""
    return [
        _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]) if found[1] else "'", label)
        for label in _LABEL.findall(column_type)
    ]


def _does_not_fit(table: TableMap, why: str) -> UnreadableData:
    return UnreadableData(
        f"{table.qualified_table} changed after the event was written: {why}; its key then is not known",
        fix=METADATA_FIX,
    )
