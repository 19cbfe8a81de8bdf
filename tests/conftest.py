"""
What every test may ask for.
"""

from __future__ import annotations

import uuid

import pytest

from tests.services import addresses

pytest_plugins = ["tests.scenes"]


@pytest.fixture(scope="session")
def kafka() -> str:
    """Address of a real Kafka."""
    return _address("kafka")


@pytest.fixture(scope="session")
def registry() -> str:
    """URL of a real schema registry."""
    return _address("registry")


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses, so that nothing needs to be cleaned."""
    return f"t{uuid.uuid4().hex[:12]}"


def _address(name: str) -> str:
    found = addresses.address(name)
    if found is None:
        pytest.fail(f"no {name}: run `python -m tests.services up {name}`, or set {addresses.VARIABLES[name]}")
    return found
