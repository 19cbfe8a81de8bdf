"""
Rows as Redis holds them: the fields of a hash, or a JSON object.

Numbers and text stay what they are; dates, times and decimals become text as they do in keys (docs/types.md).  Bytes
stay bytes in a hash and are base64 in JSON.  A NULL is no field in a hash and null in JSON.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meepo2_cdc.replay.keys import key_part

if TYPE_CHECKING:
    from sqlalchemy import Table

Row = Mapping[str, Any]
_PLAIN = frozenset((int, float, str, bytes))


def as_hash(table: Table, row: Row) -> list[Any]:
    """Names and values of the fields, in turn."""
    fields: list[Any] = []
    for name, value in row.items():
        if value is not None:
            fields += (name, value if type(value) in _PLAIN else key_part(table.columns[name], value))
    return fields


def as_json(table: Table, row: Row) -> list[Any]:
    """One value: the object's text, its members in the order of the columns."""
    return [
        _encode(
            {
                name: value if value is None or type(value) in _PLAIN else key_part(table.columns[name], value)
                for name, value in row.items()
            }
        )
    ]


def _base64(value: Any) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(f"a row holds a {type(value).__name__}, for which JSON has no form")


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_base64).encode
