"""
The function that workers of rq call in tests.
"""

from __future__ import annotations

from typing import Any

called: list[tuple[str, str, list[Any]]] = []
failing = False


def refresh(table: str, action: str, pks: list[Any]) -> None:
    if failing:
        raise RuntimeError("told to fail")
    called.append((table, action, pks))
