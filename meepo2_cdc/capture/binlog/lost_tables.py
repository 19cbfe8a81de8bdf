"""
Statements by which tables lose all their rows, or go by another name, of which no event tells.

Knows SQL as the servers log it; a statement that it does not understand names no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from meepo2_cdc.table_filter import TableFilter

log = structlog.get_logger()

_TOKEN = re.compile(
    r"\s+|/\*M?!\d*|\*/|/\*.*?\*/|(?:#|--(?=\s|$))[^\n]*"  # no tokens: space, marks of version comments, comments
    r"|(`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|'(?:[^'\\]|''|\\.)*'|[\w$\ufffd]+|.)",
    re.DOTALL,
)
_NO_TABLES = ("COLUMN", "INDEX", "KEY", "CONSTRAINT")


class Lost(NamedTuple):
    """A table, or with `table` None all of a schema; `now` is the name that it goes by, None when it was dropped."""

    schema: str
    table: str | None
    now: tuple[str, str] | None = None


def lost_tables(schema: str, statement: str) -> list[Lost]:
    """What a bare statement drops or renames; `schema` is the default one."""
    if not re.match(r"DROP|RENAME|ALTER|CREATE\s+OR", statement, re.IGNORECASE):
        return []
    return list(_Statement(schema, statement).lost())


def warn_of_lost(schema: str, statement: str, tables: TableFilter, at: str) -> None:
    """Names the captured ones: consumers are told nothing, and keep what they have."""
    for lost in lost_tables(schema, statement):
        if lost.table is None:
            if tables.may_pass_in(lost.schema):
                log.warning("A schema was dropped, and no record tells of its rows", schema=lost.schema, at=at)
        elif tables.passes(lost.schema, lost.table):
            table = f"{lost.schema}.{lost.table}"
            if lost.now is None:
                log.warning("A table was dropped, and no record tells of its rows", table=table, at=at)
            else:
                log.warning("A table was renamed, and its rows stay on record under the old name",
                            table=table, now=".".join(lost.now), at=at)  # fmt: skip


class _Statement:
    """A statement's tokens, taken one after the other."""

    def __init__(self, schema: str, statement: str) -> None:
        self._schema = schema
        self._tokens = [found[1] for found in _TOKEN.finditer(statement) if found[1]]
        self._at = 0

    def lost(self) -> Iterator[Lost]:
        if self._took("DROP"):
            return self._dropped()
        if self._took("CREATE"):
            return self._replaced()
        if self._took("RENAME"):
            return self._renamed()
        return self._altered()

    def _dropped(self) -> Iterator[Lost]:
        whole_schema = self._took("DATABASE", "SCHEMA")
        if whole_schema or self._took("TABLE", "TABLES"):
            self._took("IF")
            self._took("EXISTS")
            if whole_schema:
                yield Lost(_unquoted(self._next()), None)
                return
            yield Lost(*self._name())
            while self._took(","):
                yield Lost(*self._name())

    def _replaced(self) -> Iterator[Lost]:
        """Of MariaDB: dropped, if it was there, and made again."""
        if self._took("OR") and self._took("REPLACE") and self._took("TABLE"):
            yield Lost(*self._name())

    def _renamed(self) -> Iterator[Lost]:
        """In turn, as the server does it: a name that is given again at the end is not lost."""
        if not self._took("TABLE", "TABLES"):
            return
        now: dict[tuple[str, str], tuple[str, str]] = {}
        while self._at < len(self._tokens):
            self._took("IF")
            self._took("EXISTS")
            before = self._name()
            while self._at < len(self._tokens) and not self._took("TO"):
                self._at += 1
            first = next((name for name, new in now.items() if new == before), before)
            now[first] = self._name()
            self._took(",")
        yield from (Lost(*name, new) for name, new in now.items() if name not in now.values())

    def _altered(self) -> Iterator[Lost]:
        while self._took("ALTER", "ONLINE", "IGNORE"):
            pass
        if not self._took("TABLE"):
            return
        self._took("IF")
        self._took("EXISTS")
        before = self._name()
        while self._at < len(self._tokens):
            if self._took("RENAME") and not self._took(*_NO_TABLES):
                self._took("TO", "AS", "=")
                if (now := self._name()) != before:
                    yield Lost(*before, now)
                return
            self._at += 1

    def _took(self, *words: str) -> bool:
        """Whether the next token is one of them; it is taken then."""
        took = self._at < len(self._tokens) and self._tokens[self._at].upper() in words
        self._at += took
        return took

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1] if self._at <= len(self._tokens) else ""

    def _name(self) -> tuple[str, str]:
        first = _unquoted(self._next())
        return (first, _unquoted(self._next())) if self._took(".") else (self._schema, first)


def _unquoted(name: str) -> str:
    quote = name[:1]
    return name[1:-1].replace(quote * 2, quote) if quote in ("`", '"') else name
