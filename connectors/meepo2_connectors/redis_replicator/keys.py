"""
The names of rows in Redis: `<namespace>:<schema>.<table>:<primary key>`, or as a template says.

    1                  an integer
    0.5  1.0  1e+16    a double, as Python writes it: with a point or an exponent
    "x y"              text between quotes; in it %, " and control characters are percent-encoded
    x'00ff'            bytes, hexadecimal
    1|"x y"            several parts

so that no two rows have one name, and each name tells its key.  Knows nothing of Redis but its patterns.
"""

from __future__ import annotations

import re
from string import Formatter

from meepo2_cdc.records import KeyPart

Key = tuple[KeyPart, ...]

_FIELDS = ("namespace", "schema", "table", "pk")
_IN_NAMES = re.compile(r"[\x00-\x20\x7f%:./|#\"'{}*?\[\]\\]")
_SEPARATORS = re.compile(r"[:./|#]")
_IN_TEXT = re.compile(r'[\x00-\x1f\x7f%"]')
_IN_PATTERNS = re.compile(r"[*?\[\]\\]")
_ENCODED = re.compile(r"%([0-9A-F]{2})")
_PART = re.compile(
    r'"(?P<text>[^"]*)"'
    r"|x'(?P<bytes>(?:[0-9a-f]{2})*)'"
    r"|(?P<double>-?(?:\d+\.\d+(?:e[+-]\d+)?|\d+e[+-]\d+|inf)|nan)"
    r"|(?P<int>-?\d+)"
)


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


def encoded(pk: Key) -> str:
    """The last part of a row's name."""
    return "|".join(map(_encoded_part, pk))


def decoded(text: str) -> Key | None:
    """The key that `encoded` made this of; None for what it makes of no key."""
    parts: list[KeyPart] = []
    at = 0
    while found := _PART.match(text, at):
        parts.append(_decoded_part(found))
        at = found.end() + 1
        if at > len(text):
            return tuple(parts)
        if text[at - 1] != "|":
            break
    return None


def _encoded_part(part: KeyPart) -> str:
    if isinstance(part, int):
        return str(part)
    if isinstance(part, str):
        return f'"{_IN_TEXT.sub(_percent, part)}"'
    return f"x'{part.hex()}'" if isinstance(part, bytes) else repr(part)


def _decoded_part(found: re.Match[str]) -> KeyPart:
    text = found[0]
    if found["text"] is not None:
        return _ENCODED.sub(lambda code: chr(int(code[1], 16)), found["text"])
    if found["bytes"] is not None:
        return bytes.fromhex(found["bytes"])
    return float(text) if found["double"] is not None else int(text)


def _in_name(name: str) -> str:
    return _IN_NAMES.sub(_percent, name)


def _percent(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


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
