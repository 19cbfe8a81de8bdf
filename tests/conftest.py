"""
What every test may ask for.
"""

from __future__ import annotations

import uuid

import pytest

from tests.services import addresses

pytest_plugins = ["tests.scenes", "tests.connectors.elasticsearch_target"]


@pytest.fixture(scope="session")
def kafka() -> str:
    """Address of a real Kafka."""
    return _address("kafka")


@pytest.fixture(scope="session")
def registry() -> str:
    """URL of a real schema registry."""
    return _address("registry")


@pytest.fixture(scope="session")
def redis_url() -> str:
    """URL of a real Redis."""
    return _address("redis")


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """URL of a real PostgreSQL, of its superuser."""
    return _address("postgres")


@pytest.fixture
def prefix() -> str:
    """A prefix that no other test uses, so that nothing needs to be cleaned."""
    return f"t{uuid.uuid4().hex[:12]}"


def _address(name: str) -> str:
    found = addresses.address(name)
    if found is None:
        pytest.fail(f"no {name}: run `python -m tests.services up {name}`, or set {addresses.VARIABLES[name]}")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """A skipped test proves nothing, and nobody sees it: the run says so and fails."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and exitstatus == 0:
        terminalreporter.write_line(f"{len(skipped)} tests were skipped, which counts as failed", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
