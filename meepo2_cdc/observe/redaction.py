"""
Secrets, taken out of whatever is about to be shown: logs, complaints, the status page.

Nothing is meant to hold one in the first place; this is for what a library, a server or a target says of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "***"
_LEAST_CHARACTERS = 4
"""A shorter one would take half of every line with it, and is none to whoever can count."""

_pattern: re.Pattern[str] | None = None
_known: set[str] = set()


def hide(secrets: Iterable[str]) -> None:
    """From now on these are shown nowhere, in any of the spellings in which text may hold them."""
    global _pattern
    for secret in secrets:
        if len(secret) >= _LEAST_CHARACTERS:
            _known.update(_spellings(secret))
    if _known:
        _pattern = re.compile("|".join(re.escape(one) for one in sorted(_known, key=len, reverse=True)))


def redacted(text: str) -> str:
    return text if _pattern is None else _pattern.sub(HIDDEN, text)


def forget() -> None:
    """For tests, each of which has secrets of its own."""
    global _pattern
    _known.clear()
    _pattern = None


def _spellings(secret: str) -> set[str]:
    """As it is; as in a URL; as Python and JSON quote it."""
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        secret.encode("unicode_escape").decode(),
    }
