"""
Tables as the server defines them now, for events that do not say what their key is.

A definition holds for the events before it and behind it up to the next statement that changes the table.  So one that
was asked for in time is kept until such a statement is read; and one that was made after an event was written is
refused for it: the columns may look alike and the key be another.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import ER

from meepo2_cdc.capture.binlog import types as t
from meepo2_cdc.capture.binlog.keyparts import KeyColumn
from meepo2_cdc.capture.binlog.tables import TableGone, TableMap
from meepo2_cdc.errors import Error, UnreadableData

METADATA_FIX = (
    "Run on the server:  SET GLOBAL binlog_row_metadata = FULL;   (MySQL 8: SET PERSIST)\n"
    "Events written from then on carry their own key.  For what was written before: if the key did not change,\n"
    "[source] assume_present_keys = true takes it as it is now; [capture] on_unreadable = skip passes over the rows."
)
_REMEMBERED_CHANGES = 1000

Ask = Callable[..., list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as information_schema describes it; `log_type` is None where it is not known, and so not compared."""

    name: str
    declared: str
    log_type: t.Column | None
    key: KeyColumn


@dataclass(frozen=True, slots=True)
class Definition:
    """A table's columns, the indexes of its key's in key order, and the server's clock: made when, asked when."""

    columns: tuple[Column, ...]
    key: tuple[int, ...]
    made_s: int
    asked_s: float


class Definitions:
    """
    `ask` runs a query on the server and gives its rows by column name.

    With `assume_present`, a definition that fits an event is taken although it was made later.
    """

    def __init__(self, ask: Ask, *, assume_present: bool = False) -> None:
        self._ask = ask
        self._assume_present = assume_present
        self._known: dict[tuple[str, str], Definition] = {}
        self._changes: deque[tuple[str, str, float]] = deque(maxlen=_REMEMBERED_CHANGES)

    def forget(self) -> None:
        """As if nothing had been asked or read yet."""
        self._known.clear()
        self._changes.clear()

    def fitting(self, table: TableMap) -> Definition:
        """The definition of the event's table; raises UnreadableData when it may not be the one it was written by."""
        found = self._of(table)
        if len(found.columns) != len(table.columns):
            raise _does_not_fit(table, f"it has {len(found.columns)} columns now, and had {len(table.columns)}")
        for number, (now, then) in enumerate(zip(found.columns, table.columns, strict=True), 1):
            if now.log_type is not None and not fits(now.log_type, then):
                raise _does_not_fit(table, f"column {number} is now {now.declared}, and was of another type")
        for index in found.key:
            _refuse_unknown_labels(table, found.columns[index])
        return found

    def _of(self, table: TableMap) -> Definition:
        names = (table.schema, table.table)
        found = self._known.get(names)
        if found is not None:
            return found
        found = self.read(*names)
        if found is None:
            self._refuse_if_hidden(table)
            raise TableGone(
                f"{table.qualified_table} no longer exists, and the log does not say what its key was",
                fix=METADATA_FIX,
            )
        if not self._assume_present and self._was_made_after(table, found):
            raise _does_not_fit(table, "its present definition was made later")
        self._known[names] = found
        return found

    def _refuse_if_hidden(self, table: TableMap) -> None:
        """
        What the account may not see is not listed either.  Asking for the table itself tells: raises ConfigError when
        it is refused.
        """
        quoted = ".".join(f"`{name.replace('`', '``')}`" for name in (table.schema, table.table))
        try:
            self._ask(f"SELECT 1 FROM {quoted} LIMIT 0")  # noqa: S608  the names are quoted
        except pymysql.err.ProgrammingError:
            return  # there is no such table
        except Error as error:
            if (
                not isinstance(error.__cause__, pymysql.err.OperationalError)
                or error.__cause__.args[0] != ER.BAD_DB_ERROR
            ):
                raise

    def _was_made_after(self, table: TableMap, found: Definition) -> bool:
        if table.written_s is None or found.made_s <= table.written_s:
            return False
        return not self._saw_made((table.schema, table.table), found.made_s)

    def _saw_made(self, names: tuple[str, str], made_s: int) -> bool:
        """
        Whether the statement that made the definition has been read: then the event was written behind it, although
        its time, which is that of its statement's beginning, may be earlier.
        """
        return any(ended_s > made_s and may_name(text, schema, names) for text, schema, ended_s in self._changes)

    def changed(self, schema: str, statement: str, began_s: int, ended_s: float) -> None:
        """
        A statement other than a change of rows was read; it began at `began_s` and had been carried out by `ended_s`.

        Raises UnreadableData when it changed a table that was read by a definition of later.
        """
        text = statement.lower()
        self._changes.append((text, schema, ended_s))
        for names in [names for names in self._known if may_name(text, schema, names)]:
            known = self._known.pop(names)
            made_since = known.made_s >= began_s or _RENAME.search(text)  # MySQL does not date a renaming
            if self._assume_present:
                continue
            if known.asked_s > ended_s and made_since and _changes(text, schema, names):
                raise UnreadableData(
                    f"{'.'.join(names)} changed after the event was written: the events before were read by its"
                    " definition of now, and their keys may have been others",
                    fix=METADATA_FIX,
                )

    def read(self, schema: str, table: str) -> Definition | None:
        """Read again where the table was changed meanwhile."""
        before = self._times(schema, table)
        while before is not None:
            rows = _of_table(table, self._ask(_COLUMNS, schema, table))
            indexes = _of_table(table, self._ask(_UNIQUE_INDEXES, schema, table))
            after = self._times(schema, table)
            if after is not None and after[0] == before[0]:
                columns = tuple(column_of(number, row) for number, row in enumerate(rows))
                return Definition(columns, tuple(_key_of(rows, indexes)), *before)
            before = after
        return None

    def _times(self, schema: str, table: str) -> tuple[int, float] | None:
        rows = _of_table(table, self._ask(_TIMES, schema, table))
        return (int(rows[0]["made"] or 0), float(rows[0]["asked"])) if rows else None


_COLUMNS = """
SELECT TABLE_NAME AS table_name, COLUMN_NAME AS name, DATA_TYPE AS data_type, COLUMN_TYPE AS column_type,
       CHARACTER_SET_NAME AS charset, CHARACTER_OCTET_LENGTH AS octets, NUMERIC_PRECISION AS digits,
       NUMERIC_SCALE AS scale, DATETIME_PRECISION AS fraction, COLUMN_KEY AS column_key
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""
_UNIQUE_INDEXES = """
SELECT TABLE_NAME AS table_name, INDEX_NAME AS index_name, COLUMN_NAME AS name
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s AND NON_UNIQUE = 0
ORDER BY INDEX_NAME, SEQ_IN_INDEX
"""
_TIMES = """
SELECT TABLE_NAME AS table_name, UNIX_TIMESTAMP(CREATE_TIME) AS made, UNIX_TIMESTAMP(NOW(6)) AS asked
FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s
"""


def _of_table(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """MariaDB compares names there without regard to case and accents."""
    return [row for row in rows if row["table_name"] == table]


def _key_of(rows: list[dict[str, Any]], indexes: list[dict[str, Any]]) -> Iterator[int]:
    """
    The primary key, or what the server takes for one: the unique key of columns that cannot be null which
    information_schema shows as PRI, and which a table map of FULL metadata shows as the key.
    """
    key: dict[str, list[str]] = {}
    for row in indexes:
        key.setdefault(row["index_name"], []).append(row["name"])
    shown = {row["name"] for row in rows if row["column_key"] == "PRI"}
    candidates = [key["PRIMARY"]] if "PRIMARY" in key else [names for names in key.values() if set(names) == shown]
    place = {row["name"]: index for index, row in enumerate(rows)}
    return (place[name] for name in (candidates[0] if candidates else ()))


# -- which tables a statement changes


_TABLE_STATEMENT = re.compile(r"(?:alter|create|drop|rename)\b[\w\s]*?\b(?:table|index)\b")
_RENAME = re.compile(r"\brename\b")
_ALSO_NAMED = re.compile(r"\breferences\s.*|(?<=\s)(?:like|select|as)\s.*", re.DOTALL)


def _changes(text: str, schema: str, names: tuple[str, str]) -> bool:
    """Whether it changes the table, and does not just name it: as what another table refers to, or is a copy of."""
    if not _TABLE_STATEMENT.match(text):
        return False
    creates_table = re.match(r"create\b[\w\s]*?\btable\b", text) is not None
    own = _ALSO_NAMED.sub("", text.partition("(")[0] if creates_table else text)
    return _names(own, schema, names)


def may_name(text: str, schema: str, names: tuple[str, str]) -> bool:
    """
    Whether a statement, in small letters, may be about a table.  A name that is not ASCII always may: statements are
    logged in the character set of their session.
    """
    return not "".join(names).isascii() or _names(text, schema, names)


def _names(text: str, schema: str, names: tuple[str, str]) -> bool:
    wanted, table = names[0].lower(), names[1].lower()
    if re.match(r"\w+\s+(?:database|schema)\b", text):
        return _has_word(text, wanted)
    return (schema.lower() == wanted or _has_word(text, wanted)) and _has_word(text, table)


def _has_word(text: str, name: str) -> bool:
    spellings = {name, name.replace("`", "``"), name.replace('"', '""')}
    return any(re.search(rf"(?<![\w$]){re.escape(spelling)}(?![\w$])", text) for spelling in spellings)


# -- columns


def column_of(index: int, row: dict[str, Any]) -> Column:
    kind, declared = row["data_type"], row["column_type"]
    key = KeyColumn(
        index,
        unsigned="unsigned" in declared or "zerofill" in declared,
        charset=None if row["charset"] in (None, "binary") else row["charset"],
        labels=tuple(labels_of(declared)) if kind in ("enum", "set") else (),
        native=kind if kind in ("uuid", "inet6", "inet4") else None,
    )
    return Column(row["name"], declared, log_type_of(row), key)


_PLAIN = {
    "tinyint": t.TINY, "smallint": t.SHORT, "mediumint": t.INT24, "int": t.LONG, "bigint": t.LONGLONG,
    "float": t.FLOAT, "double": t.DOUBLE, "date": t.DATE, "year": t.YEAR, "json": t.JSON,
}  # fmt: skip
_LENGTH_OF_BLOB = {"tiny": 1, "": 2, "medium": 3, "long": 4}


def log_type_of(row: dict[str, Any]) -> t.Column | None:
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


def fits(now: t.Column, then: t.Column) -> bool:
    if then.type in _OLD_TEMPORAL:
        # before MySQL 5.6 there was no fraction; that of MariaDB has a size which the log does not tell
        return now == t.Column(_OLD_TEMPORAL[then.type], 0)
    if then.type in _COMPRESSED:
        return now.type == _COMPRESSED[then.type]
    return now.type == then.type and (now.type in _WITHOUT_META or now.meta == then.meta)


def _label_bytes(kind: str, count: int) -> int:
    """ENUM: one byte to 255 labels; SET: one bit a label, in 1, 2, 3, 4 or 8 bytes (MySQL sql/field.h)."""
    if kind == "enum":
        return 1 if count < 256 else 2
    size = (count + 7) // 8
    return size if size <= 4 else 8


_ALL_OF_UNICODE = frozenset(("utf8mb4", "utf16", "utf16le", "utf32", "gb18030"))
_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_ESCAPES = {"0": "\0", "n": "\n", "r": "\r", "Z": "\x1a"}


def labels_of(column_type: str) -> Sequence[str]:
    """The labels in enum('a','it''s'), as information_schema spells them."""
    return [
        _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]) if found[1] else "'", label)
        for label in _LABEL.findall(column_type)
    ]


def _refuse_unknown_labels(table: TableMap, column: Column) -> None:
    """information_schema shows a question mark for what lies beyond the Basic Multilingual Plane."""
    if column.key.charset in _ALL_OF_UNICODE and any("?" in label for label in column.key.labels):
        raise UnreadableData(
            f"{table.qualified_table}.{column.name} has labels that are not known: the server shows {column.declared}",
            fix=METADATA_FIX,
        )


def _does_not_fit(table: TableMap, why: str) -> UnreadableData:
    return UnreadableData(
        f"{table.qualified_table} changed after the event was written: {why}; its key then is not known",
        fix=METADATA_FIX,
    )
