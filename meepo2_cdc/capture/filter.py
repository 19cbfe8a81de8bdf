"""
Which tables are captured.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

_SYSTEM = ("mysql", "sys", "performance_schema", "information_schema")


class TableFilter:
    """
    Globs over `schema.table`; those that begin with `!` exclude.

    A table passes that matches an include and no exclude.  The server's own schemas pass only when an include names
    them letter by letter.
    """

    def __init__(self, globs: Sequence[str]) -> None:
        self.globs = tuple(globs)
        self._includes = [glob for glob in globs if not glob.startswith("!")] or ["*.*"]
        self._excludes = [glob[1:] for glob in globs if glob.startswith("!")]

    def passes(self, schema: str, table: str) -> bool:
        name = f"{schema}.{table}"
        if schema in _SYSTEM and not any(glob.startswith(f"{schema}.") for glob in self._includes):
            return False
        return any(fnmatchcase(name, glob) for glob in self._includes) and not any(
            fnmatchcase(name, glob) for glob in self._excludes
        )
