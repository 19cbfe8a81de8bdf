"""
The table of values in the chart's README, from the comments of values.yaml: those that begin with `# --`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.helm.chart import CHART

README = CHART / "README.md"
BEGIN, END = "<!-- values, made by `make docs` -->\n", "<!-- end of values -->"
_KEY = re.compile(r"( *)([\w-]+):")


def text() -> str:
    """The page with the table as it is to be; what stands around it is written by hand."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{_table()}{END}{after}"


def described() -> Iterator[tuple[tuple[str, ...], str]]:
    """Each value that has a comment, as a path, and what the comment says."""
    path: list[str] = []
    comment: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped.removeprefix("# "))
        elif match := _KEY.match(line):
            path[len(match[1]) // 2 :] = [match[2]]
            if comment:
                yield tuple(path), " ".join(comment)
            comment = []


def _table() -> str:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = [
        f"| `{'.'.join(path)}` | {_default(_at(values, path))} | {_cell(meaning)} |" for path, meaning in described()
    ]
    return "\n".join(["", "| value | default | meaning |", "|---|---|---|", *rows, "", ""])


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values[name]
    return values


def _default(value: Any) -> str:
    return "" if value in ("", None) else f"`{_cell(json.dumps(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
