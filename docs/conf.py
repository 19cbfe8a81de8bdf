"""
The documentation as a site, by Sphinx: `make site`.

Pages are the Markdown files of the repository where they are, so that a link is right here and in the repository.
"""

import re
from pathlib import Path
from typing import Any

from meepo2_cdc import __version__

project = "meepo2-cdc"
author = "the authors of meepo2-cdc"
version = release = __version__

root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "connectors/**/README.md",
    "examples/**/README.md",
    "helm/meepo2-cdc/README.md",
    "schemas/README.md",
]
exclude_patterns = [".*", "build", "dist", "tests", "**/node_modules"]

extensions = ["myst_parser"]
myst_heading_anchors = 4
highlight_language = "text"
suppress_warnings = ["toc.empty_glob"]

html_theme = "furo"
html_title = f"meepo2-cdc {version}"
html_extra_path = ["site"]
html_show_copyright = False
html_copy_source = False


def setup(app: Any) -> None:
    app.connect("source-read", _without_folders)


def _without_folders(app: Any, docname: str, source: list[str]) -> None:
    """A site has no page for a folder; its name stays, without the link."""
    here = Path(app.srcdir, docname).parent

    def plain(link: re.Match[str]) -> str:
        return link[1] if (here / link[2]).is_dir() else link[0]

    source[0] = re.sub(r"\[([^\[\]]+)\]\(([^()#:\s]+)\)", plain, source[0])
