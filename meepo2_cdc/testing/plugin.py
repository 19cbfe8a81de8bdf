"""
The pytest plugin: gives the contracts their kinds of keys.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("meepo2_cdc.testing.contract")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each kind of key that the class of a contract names."""
    if "kind" in metafunc.fixturenames and metafunc.cls is not None and hasattr(metafunc.cls, "kinds"):
        metafunc.parametrize("kind", metafunc.cls.kinds)
