"""
The `_id` of a row's document: its primary key.

    1                  an integer
    0.5  1.0  1e+16    a double, as Python writes it: with a point or an exponent
    "x y"              text between quotes; in it %, " and control characters are percent-encoded
    x'00ff'            bytes, hexadecimal
    1|"x y"            several parts
    sha256:...         the hash of one of these that is longer than Elasticsearch allows an id to be

so that no two rows share an id.  Knows nothing else of Elasticsearch.
"""

from __future__ import annotations

import re
from hashlib import sha256

from meepo2_cdc.records import KeyPart

Key = tuple[KeyPart, ...]

MOST_BYTES = 512
"""A longer id is refused, and the whole bulk request with it."""
HASHED = "sha256:"

_IN_TEXT = re.compile(r'[\x00-\x1f\x7f%"]')
_ENCODED = re.compile(r"%([0-9A-F]{2})")
_PART = re.compile(
    r'"(?P<text>[^"]*)"'
    r"|x'(?P<bytes>(?:[0-9a-f]{2})*)'"
    r"|(?P<double>-?(?:\d+\.\d+(?:e[+-]\d+)?|\d+e[+-]\d+|inf)|nan)"
    r"|(?P<int>-?\d+)"
)


def encoded(pk: Key) -> str:
    """The id of this key's document."""
    text = "|".join(map(_encoded_part, pk))
    raw = text.encode()
    return text if len(raw) <= MOST_BYTES else HASHED + sha256(raw).hexdigest()


def decoded(text: str) -> Key | None:
    """The key that `encoded` made this of; None for a hash, and for what it makes of no key."""
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


def _percent(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"
