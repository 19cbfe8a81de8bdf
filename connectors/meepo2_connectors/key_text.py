"""
Primary keys as text, for targets that name a row by one string.

    1                  an integer
    0.5  1.0  1e+16    a double, as Python writes it: with a point or an exponent
    "x y"              text between quotes; in it %, " and control characters are percent-encoded
    x'00ff'            bytes, hexadecimal
    1|"x y"            several parts

so that no two keys have one text, and each text tells its key.
"""

from __future__ import annotations

import re

from meepo2_cdc.records import KeyPart

Key = tuple[KeyPart, ...]

_IN_TEXT = re.compile(r'[\x00-\x1f\x7f%"]')
_ENCODED = re.compile(r"%([0-9A-F]{2})")
_PART = re.compile(
    r'"(?P<text>[^"]*)"'
    r"|x'(?P<bytes>(?:[0-9a-f]{2})*)'"
    r"|(?P<double>-?(?:\d+\.\d+(?:e[+-]\d+)?|\d+e[+-]\d+|inf)|nan)"
    r"|(?P<int>-?\d+)"
)


def encoded(pk: Key) -> str:
    """The text of this key."""
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
        return f'"{_IN_TEXT.sub(percent, part)}"'
    return f"x'{part.hex()}'" if isinstance(part, bytes) else repr(part)


def _decoded_part(found: re.Match[str]) -> KeyPart:
    text = found[0]
    if found["text"] is not None:
        return _ENCODED.sub(lambda code: chr(int(code[1], 16)), found["text"])
    if found["bytes"] is not None:
        return bytes.fromhex(found["bytes"])
    return float(text) if found["double"] is not None else int(text)


def percent(found: re.Match[str]) -> str:
    """One character, percent-encoded."""
    return f"%{ord(found[0]):02X}"
