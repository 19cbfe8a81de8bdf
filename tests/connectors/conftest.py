"""
What the tests of several connectors may ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors import sql_targets
from tests.connectors.sql_targets import TargetDatabase
from tests.scenes import Server
from tests.services import addresses


@pytest.fixture(params=sql_targets.TARGETS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TargetDatabase]:
    """An empty database, on each kind of server."""
    with sql_targets.database(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[TargetDatabase]:
    with sql_targets.database("postgres", tmp_path) as made:
        yield made


@pytest.fixture
def source_mysql() -> Server:
    given = addresses.address("mysql")
    assert given is not None
    return Server(given)
