"""
Which source servers the tests know the address of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.reading import Log
from tests.services import addresses

REQUIRED = ("mysql", "mariadb")
OPTIONAL = ("mysql9", "mariadb11")
MYSQL = ("mysql", "mysql9")
MARIADB = ("mariadb", "mariadb11")
METADATA = ("full", "default", "minimal")
"""What a server logs of its tables; minimal is the default of MySQL, where MariaDB logs nothing."""

Run = tuple[Log, str, str]
"""A server's log, the server's name, and its kind of row metadata."""


def known_sources() -> list[str]:
    """For parametrising: the required ones, found or not, and the others that have an address."""
    return [*REQUIRED, *(name for name in OPTIONAL if addresses.address(name))]


def source_log(name: str) -> Log:
    dsn = addresses.address(name)
    if dsn is None:
        pytest.fail(f"no {name}: run `python -m tests.services up {name}`, or set {addresses.VARIABLES[name]}")
    return Log(dsn)


def known_runs() -> list[tuple[str, str]]:
    """For parametrising: every known source with each kind of row metadata that it has."""
    return [(server, kind) for server in known_sources() for kind in METADATA if kind != "minimal" or server in MARIADB]


@contextmanager
def source_run(server: str, metadata: str) -> Iterator[Run]:
    """A server, with one kind of row metadata for as long as it is used."""
    with closing(source_log(server)) as log, log.row_metadata(metadata.upper()):
        yield log, server, metadata


every_run = pytest.mark.parametrize(
    "run",
    [pytest.param(run, id="-".join(run)) for run in known_runs()],
    indirect=True,
    scope="module",
)
