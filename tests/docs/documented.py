"""
Blocks of code in the documentation, as a test runs them.

The word behind the language says how: `run` to its end; `background` until it has begun, and to the end of the page;
`cleanup` at the end in any case; an `output` is what the block before it prints, sooner or later.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(?P<language>\w*) ?(?P<how>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    how: str
    text: str
    output: str | None = None


def blocks(page: Path) -> list[Block]:
    """Those that are fenced, in their order; an output with the block that it is of."""
    found: list[Block] = []
    for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if match["how"] == "output":
            last = found.pop()
            found.append(Block(last.language, last.how, last.text, match["text"]))
        else:
            found.append(Block(match["language"], match["how"], match["text"]))
    return found
