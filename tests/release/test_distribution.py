"""
What is released: a source distribution and the wheel that is built from it, installed where nothing else is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from meepo2_cdc.config import CONNECTORS

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True, slots=True)
class Released:
    """The two files."""

    source: Path
    wheel: Path


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Built as a release is: the wheel from the source distribution, not from this tree."""
    place = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", place, REPOSITORY, cwd=place)
    (source,), (wheel,) = place.glob("*.tar.gz"), place.glob("*.whl")
    return Released(source, wheel)


@pytest.fixture(scope="module")
def clean(released: Released, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and what it asks for, and no extras."""
    place = tmp_path_factory.mktemp("clean")
    venv.create(place, with_pip=False)
    run(sys.executable, "-m", "pip", "-q", "--python", place / "bin/python", "install", released.wheel, cwd=place)
    return place


def test_the_wheel_holds_what_it_needs_and_nothing_else(released: Released) -> None:
    """Schemas are looked up in the package; tests and settings files are nobody's business."""
    names = zipfile.ZipFile(released.wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"meepo2_cdc", "meepo2_connectors", f"meepo2_cdc-{PROJECT['version']}.dist-info"}
    schemas = REPOSITORY / "schemas"
    for path in schemas.rglob("*.*"):
        assert f"meepo2_cdc/_schemas/{path.relative_to(schemas)}" in names
    assert {"meepo2_cdc/py.typed", "meepo2_connectors/py.typed"} <= set(names)
    assert len(names) == len(set(names))


def test_the_source_distribution_holds_what_a_packager_needs(released: Released) -> None:
    """From it the wheel is built, and a distribution builds its package."""
    with tarfile.open(released.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "schemas/checkpoint/v1.avsc"} <= names
    assert [name for name in names if re.match(r"(\.venv|\.services|\.git/|.*__pycache__)", name)] == []


def test_the_command_works_where_nothing_else_is_installed(clean: Path) -> None:
    """What is only there because a test needed it is missing at everybody else's."""
    command = clean / "bin/meepo2-cdc"
    assert run(command, "--version", cwd=clean).split()[-1] == PROJECT["version"]
    assert json.loads(run(command, "schemas", "show", "table_action", cwd=clean))["name"]
    script = "from meepo2_cdc.records.avro import NAMES, versions; print({name: versions(name) for name in NAMES})"
    here = run(sys.executable, "-c", script, cwd=REPOSITORY)
    assert run(clean / "bin/python", "-c", script, cwd=clean) == here


def test_a_connector_whose_extra_is_missing_says_so(clean: Path) -> None:
    """A traceback of an import tells nobody what to install."""
    script = "from meepo2_cdc.replay.connectors import installed; print({one.name: one.lacks for one in installed()})"
    found = eval(run(clean / "bin/python", "-c", script, cwd=clean))  # noqa: S307 - our own output
    assert set(found) == {one.name for one in entry_points(group=CONNECTORS) if one.value.startswith("meepo2_")}
    assert found["redis_replicator"] == "redis"
    assert found["sql_replicator"] is None


def test_types_are_seen_by_who_uses_the_package(clean: Path) -> None:
    """Without py.typed every name of ours is Any, and a wrong call is found at night."""
    (clean / "uses.py").write_text(
        "from meepo2_cdc import App, TableAction\nApp(group='search').group = 5\nTableAction.nothing\n"
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", clean / "bin/python", "uses.py"]
    said = subprocess.run(command, cwd=clean, capture_output=True, text=True, timeout=200).stdout
    assert re.findall(r"uses.py:(\d): error: .*\[(.*)\]", said) == [("2", "assignment"), ("3", "attr-defined")], said


def test_extras_are_named_in_all() -> None:
    """`pip install meepo2-cdc[all]` that leaves a connector out fails where it is needed."""
    extras = PROJECT["optional-dependencies"]
    (named,) = (one for one in extras["all"] if one.startswith("meepo2-cdc["))
    connectors = {one.replace("_", "-") for one in PROJECT["entry-points"][CONNECTORS]}
    assert connectors <= extras.keys()
    assert connectors <= set(named.removeprefix("meepo2-cdc[").removesuffix("]").split(","))


def test_the_changelog_has_the_version_and_its_form() -> None:
    """A release whose changes are not told is one that nobody dares to install."""
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert [one for one in headings if not re.fullmatch(r"\d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)", one)] == []
    assert headings[0].startswith(PROJECT["version"])
    versions = [tuple(map(int, one.split()[0].split("."))) for one in headings]
    assert versions == sorted(versions, reverse=True)
    assert len(set(versions)) == len(versions)
