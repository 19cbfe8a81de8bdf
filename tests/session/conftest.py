"""
Sessions on real databases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import sessionmaker

import meepo2_cdc
from tests.session.databases import FLAVORS, Database, fresh
from tests.session.models import Model

Publish = Callable[..., Any]


@pytest.fixture(params=FLAVORS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with the tables of all models and an empty outbox."""
    with fresh(request.param, tmp_path) as made:
        Model.metadata.create_all(made.engine)
        yield made


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    with fresh("sqlite", tmp_path) as made:
        Model.metadata.create_all(made.engine)
        yield made


@pytest.fixture
def publish() -> Iterator[Publish]:
    """sqlalchemy_pub; what it installs is gone behind the test."""
    with ExitStack() as installed:

        def install(session: Any, *arguments: Any, **named: Any) -> Any:
            made = meepo2_cdc.sqlalchemy_pub(session, *arguments, **named)
            installed.callback(lambda: made.remove() if not getattr(made, "removed", False) else None)
            return made

        yield install


@pytest.fixture
def maker(database: Database) -> sessionmaker[Any]:
    return sessionmaker(database.engine)
