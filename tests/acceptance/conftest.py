"""
Every kind of server that is known here, one of this run's own each, with full row metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.scenes import FULL_METADATA, Server
from tests.services import native

ServerNamed = Callable[[str], Server]


@pytest.fixture(scope="session")
def server_named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerNamed]:
    """Servers by the names of tests.sources, each started when first asked for."""
    made: dict[str, Server] = {}
    with ExitStack() as running:

        def named(name: str) -> Server:
            if name not in made:
                process = running.enter_context(getattr(native, name)(tmp_path_factory.mktemp(name), FULL_METADATA))
                made[name] = Server(process.dsn)
            return made[name]

        yield named
