"""
Namespaces: the first part of each of a store's keys, as text or as a function of time.

Knows nothing of Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Namespace = str | Callable[[float], str]
"""Text, or what makes the text of a time in seconds since 1970."""

SHORTEST_SECONDS = 900
"""A namespace of time lasts as long at least; so often the function is asked for those that lie between two times."""


def dated(name: str, form: str) -> Callable[[float], str]:
    """A namespace of time: `name`, a colon, and the time in UTC in the `form` of strftime, such as "%Y%m%d"."""

    @lru_cache(maxsize=1024)
    def of_second(second: int) -> str:
        return f"{name}:{datetime.fromtimestamp(second, UTC):{form}}"

    return lambda at: of_second(int(at // 1))


def at(namespace: Namespace, time: float) -> str:
    """The namespace of a time."""
    return namespace if isinstance(namespace, str) else namespace(time)


def between(namespace: Namespace, first: float, last: float) -> list[str]:
    """Every namespace from one time to another, in the order in which they begin."""
    if isinstance(namespace, str):
        return [namespace]
    steps = range(int(first // SHORTEST_SECONDS) + 1, int(last // SHORTEST_SECONDS) + 1)
    times = [first, *(step * SHORTEST_SECONDS for step in steps), last]
    return list(dict.fromkeys(map(namespace, times)))
