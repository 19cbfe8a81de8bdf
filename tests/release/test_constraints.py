"""
constraints.txt: what the tests ran with is what a deployment gets.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in requirements}


def _named() -> set[str]:
    """What pyproject.toml asks for, in any of its groups and extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = [*project["project"]["dependencies"]]
    for group in (*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()):
        texts += [one for one in group if isinstance(one, str)]
    return {canonicalize_name(Requirement(text).name) for text in texts} - {"meepo2-cdc"}


def test_all_that_is_asked_for_is_pinned():
    """What is not would be another version with each build."""
    assert _named() - _pinned().keys() == set()


def test_these_tests_run_with_what_is_pinned():
    """A pin that nothing ran with says nothing."""
    pinned = _pinned()
    assert {name: version(name) for name in _named()} == {name: pinned[name] for name in _named()}
