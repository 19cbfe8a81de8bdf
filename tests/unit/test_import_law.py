"""
Which part of the program may know which other.
"""

import ast
from pathlib import Path

import pytest

import meepo2_cdc

ROOT = Path(meepo2_cdc.__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if "_schemas" not in path.parts)


def part_of(path: Path) -> str:
    """The first folder or module below the package."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def parts_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("meepo2_cdc.")}
    return found


@pytest.mark.parametrize("path", [one for one in MODULES if part_of(one) in {"records", "errors"}], ids=str)
def test_records_and_errors_know_nothing_else_of_ours(path: Path):
    """They are what every other part and every connector shares; what they import, everybody imports."""
    assert parts_imported(path) <= {"records", "errors"}


@pytest.mark.parametrize(("part", "other"), [("capture", "replay"), ("replay", "capture")])
def test_capture_and_replay_do_not_know_each_other(part: str, other: str):
    """They meet in Kafka only; a consumer must not need what reads a binlog, nor the other way round."""
    guilty = [path for path in MODULES if part_of(path) == part and other in parts_imported(path)]
    assert guilty == []
    assert any(part_of(path) == part for path in MODULES)


def test_nobody_knows_the_command_line():
    """The service must be usable as a library."""
    guilty = [path for path in MODULES if part_of(path) != "cli" and "cli" in parts_imported(path)]
    assert guilty == []
    assert any("cli" in parts_imported(path) for path in MODULES if part_of(path) == "cli")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_says_what_it_is(path: Path):
    """A module without a thought of its own is where unrelated things gather."""
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))
