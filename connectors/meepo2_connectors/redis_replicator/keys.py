"""
The names of rows in Redis: `<namespace>:<schema>.<table>:<primary key>`, or as a template says.

The key is as key_text has it, so that no two rows have one name, and each name tells its key.  Knows nothing of Redis
but its patterns.
"""

from __future__ import annotations

import re
from string import Formatter

from meepo2_connectors.key_text import percent

_FIELDS = ("namespace", "schema", "table", "pk")
_IN_NAMES = re.compile(r"[\x00-\x20\x7f%:./|#\"'{}*?\[\]\\]")
_SEPARATORS = re.compile(r"[:./|#]")
_IN_PATTERNS = re.compile(r"[*?\[\]\\]")


class RowNames:
    """Names by a template of str.format with {namespace}, {schema}, {table} and, at its end, {pk}."""

    def __init__(self, template: str, namespace: str) -> None:
        """Raises ValueError for a template by which two rows could have one name."""
        _refuse_ambiguous(template)
        self._template = template.removesuffix("{pk}")
        self._namespace = namespace

    def prefix(self, schema: str, table: str) -> str:
        """What the names of all rows of a table begin with, and those of no other table."""
        return self._template.format(namespace=self._namespace, schema=_in_name(schema), table=_in_name(table))

    def pattern(self, schema: str, table: str) -> str:
        """The names of all rows of a table, as SCAN is asked for them."""
        return _IN_PATTERNS.sub(r"\\\g<0>", self.prefix(schema, table)) + "*"


def _in_name(name: str) -> str:
    return _IN_NAMES.sub(percent, name)


def _refuse_ambiguous(template: str) -> None:
    pieces = list(Formatter().parse(template))
    fields = [field for _, field, _, _ in pieces if field is not None]
    unknown = [field for field in fields if field not in _FIELDS]
    if unknown:
        raise ValueError(f"there is no {{{unknown[0]}}}; there are {', '.join(f'{{{one}}}' for one in _FIELDS)}")
    if "table" not in fields or fields.count("pk") != 1 or not template.endswith("{pk}"):
        raise ValueError("expected {table} somewhere and {pk} once, at the end")
    if any(conversion or form for _, _, form, conversion in pieces):
        raise ValueError("expected plain fields, without ! and : in them")
    between = [literal for literal, _, _, _ in pieces[1:]]
    if not all(_SEPARATORS.search(literal) for literal in between):
        raise ValueError("expected one of : . / | # between two fields, or two rows could have one name")
