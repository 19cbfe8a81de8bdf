"""
The names of events: `<schema>.<table>_<action>`, such as `shop.user_write`.

What would be mistaken for a separator is percent-encoded, so that no two tables have one name.
"""

from __future__ import annotations

import re

from meepo2_cdc.records import Action

_MISTAKABLE = re.compile(r"[%.:]")


def event_name(schema: str, table: str, action: Action | str) -> str:
    """`shop.user_write`; with an empty schema `user_write`."""
    return f"{_encoded(schema)}.{_encoded(table)}_{action}" if schema else f"{_encoded(table)}_{action}"


def _encoded(name: str) -> str:
    return _MISTAKABLE.sub(lambda found: f"%{ord(found[0]):02X}", name)
