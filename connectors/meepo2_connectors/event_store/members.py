"""
Primary keys as members of a sorted set: compact JSON, from which each comes back as it was.

    1          1                      a key of one part stands for itself
    "a"        'a'
    0.5        0.5
    {"b":"AP8="}   b'\\x00\\xff'        bytes, base64
    ["a",2]    ('a', 2)               several parts
    []         ()                     no row but the whole table: a truncate

Two keys never have one member.  Knows nothing of Redis.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from meepo2_cdc.records import KeyPart

Pk = KeyPart | tuple[KeyPart, ...]
"""A key of one part is the part itself."""


def member(pk: Pk) -> bytes:
    """The member that stands for a key; a tuple of one part is the same as the part."""
    if not isinstance(pk, tuple):
        return _text(pk).encode()
    if len(pk) == 1:
        return _text(pk[0]).encode()
    return f"[{','.join(map(_text, pk))}]".encode()


def pk_of(found: bytes) -> Pk:
    """The key for which a member stands."""
    value = _decode(found.decode())
    return tuple(value) if isinstance(value, list) else value


def _text(part: KeyPart) -> str:
    return int.__repr__(part) if isinstance(part, int) else _encode(part)


def _bytes(part: Any) -> dict[str, str]:
    if isinstance(part, bytes):
        return {"b": b64encode(part).decode()}
    raise TypeError(f"a key is made of int, float, str and bytes, not of {type(part).__name__}")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_bytes).encode
_decode = json.JSONDecoder(object_hook=lambda found: b64decode(found["b"])).decode
