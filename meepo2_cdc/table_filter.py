"""
Which tables are captured, and which a connector hears of.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

_SYSTEM = ("mysql", "sys", "performance_schema", "information_schema")
# gh-ost: the copy, its changelog, the table that was; pt-online-schema-change: the copy, the table that was
_GHOSTS = ("_*_gho", "_*_ghc", "_*_del", "_*_new", "_*_old")


class TableFilter:
    """
    Globs over `schema.table`; those that begin with `!` exclude.

    A table passes that matches an include and no exclude.  The server's own schemas pass only when an include names
    them letter by letter; tables named like the copies of gh-ost and pt-online-schema-change (`_orders_gho`), only when
    an include's table begins with an underscore too, or with `ghosts`: of records, it was decided when they were made.
    """

    def __init__(self, globs: Sequence[str], *, ghosts: bool = False) -> None:
        self.globs = tuple(globs)
        self._includes = [glob for glob in globs if not glob.startswith("!")] or ["*.*"]
        self._excludes = [glob[1:] for glob in globs if glob.startswith("!")]
        self._underscored = [glob for glob in self._includes if ghosts or glob.partition(".")[2].startswith("_")]

    def passes(self, schema: str, table: str) -> bool:
        return self._wants(schema, table) and not self._looks_like_ghost(schema, table)

    def is_ghost(self, schema: str, table: str) -> bool:
        """Whether it is for its name alone that a table does not pass."""
        return self._looks_like_ghost(schema, table) and self._wants(schema, table)

    def may_pass_in(self, schema: str) -> bool:
        """Whether tables of the schema can pass at all."""
        return any(fnmatchcase(schema, glob.partition(".")[0]) for glob in self._includes)

    def _wants(self, schema: str, table: str) -> bool:
        if schema in _SYSTEM and not any(glob.startswith(f"{schema}.") for glob in self._includes):
            return False
        name = f"{schema}.{table}"
        return _matches(name, self._includes) and not _matches(name, self._excludes)

    def _looks_like_ghost(self, schema: str, table: str) -> bool:
        return _matches(table, _GHOSTS) and not _matches(f"{schema}.{table}", self._underscored)


def _matches(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
