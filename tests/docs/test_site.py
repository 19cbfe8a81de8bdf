"""
The documentation as a site: every page is found, and every link leads somewhere.
"""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """Where a page's links lead, and where in it links can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        self.links += [str(given[name]) for name in ("href", "src") if given.get(name)]


def build(folder: Path, source: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """As `make site` does."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(ROOT / "docs"), str(source)]
    return subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    """Whoever follows a dead one at night has lost five minutes and their trust."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    dead = [
        f"{path.relative_to(site)} -> {link}"
        for path in pages
        for link in pages[path].links
        if dangles(link, path, pages)
    ]
    assert dead == []
    assert len(pages) > 40


def dangles(link: str, page: Path, pages: dict[Path, Page]) -> bool:
    """Of the links within the site; others are not asked."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists():
        return True
    return bool(parts.fragment) and target in pages and unquote(parts.fragment) not in pages[target].anchors


def test_every_page_is_in_the_navigation(site: Path) -> None:
    """A page that nobody finds was not written."""
    contents = Page((site / "docs" / "index.html").read_text(encoding="utf-8")).links
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert name == "index.html" or name in contents, name


@pytest.mark.parametrize(
    "text",
    ["[gone](nowhere.md)", "[gone](#nowhere)", "[gone](delivery.md#nowhere)"],
)
def test_a_dead_link_fails_the_build(tmp_path: Path, text: str) -> None:
    """The tests above say nothing if the builder would let it pass."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "delivery.md").write_text("# Delivery\n")
    (tmp_path / "docs" / "index.md").write_text(f"# Here\n\n{text}\n\n```{{toctree}}\ndelivery\n```\n")
    built = build(tmp_path / "out", tmp_path)
    assert built.returncode != 0
    assert "nowhere" in built.stderr
