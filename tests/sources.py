"""
Which source servers the tests know the address of.
"""

from __future__ import annotations

import pytest

from tests.reading import Log
from tests.services import addresses

REQUIRED = ("mysql", "mariadb")
OPTIONAL = ("mysql9",)


def known_sources() -> list[str]:
    """For parametrising: the required ones, found or not, and the others that have an address."""
    return [*REQUIRED, *(name for name in OPTIONAL if addresses.address(name))]


def source_log(name: str) -> Log:
    dsn = addresses.address(name)
    if dsn is None:
        pytest.fail(f"no {name}: run `python -m tests.services up {name}`, or set {addresses.VARIABLES[name]}")
    return Log(dsn)
