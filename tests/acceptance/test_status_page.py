"""
The status page in a real browser, of a capture that runs: live, on a phone, in the dark, by keyboard.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.test_watching import free_port
from tests.command import SECONDS, Running
from tests.scenes import Scene, Server
from tests.services.browser import chromium

SCREENSHOTS = os.environ.get("MEEPO2_TEST_SCREENSHOTS")
"""A directory, for whoever wants to look at the page."""
BARE = "<img src=x onerror=alert(1)>"

# The contrast of each text with what is behind it, as WCAG 2.1 defines it (1.4.3); those that are below 4.5.
CONTRASTS = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = channels(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data.trim()).join("");
    if (!text || node.tagName === "SCRIPT" || !node.checkVisibility()) continue;
    const [a, b] = [light(channels(getComputedStyle(node).color)), light(behind(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) low.push([text.slice(0, 40), contrast]);
  }
  return low;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium())
        yield launched
        launched.close()


class Watched:
    """A capture, its scene and where its page is."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.run("CREATE TABLE orders (id INT PRIMARY KEY)", f"CREATE TABLE `{BARE}` (a INT)")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        self.capture: Running = scene.capture(MEEPO2_CAPTURE_METRICS_PORT=str(port))
        scene.run("INSERT INTO orders VALUES (1), (2), (3)", f"INSERT INTO `{BARE}` VALUES (1)")
        scene.wait_for(3)


@pytest.fixture(scope="module")
def watched(mysql: Server, kafka: str) -> Iterator[Watched]:
    scene = Scene(mysql, kafka, f"t{os.urandom(6).hex()}")
    try:
        yield Watched(scene)
    finally:
        scene.close()


@pytest.fixture
def opened(browser: Browser, watched: Watched, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page as the parameter sees it; nothing may be complained of in its console, and no dialog may open."""
    context = browser.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: None if "net::ERR_CONN" in message.text else complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
    page.set_default_timeout(SECONDS * 1000)
    page.goto(watched.url)
    expect(page.locator("#link")).to_contain_text("live", timeout=SECONDS * 1000)
    yield page
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{request.node.name}.png", full_page=True)
    context.close()
    assert complaints == []


PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DARK = {"color_scheme": "dark"}
sizes = pytest.mark.parametrize("opened", [{}, DARK, PHONE, PHONE | DARK], ids=["light", "dark", "phone", "dark phone"],
                                indirect=True)  # fmt: skip


@sizes
def test_everything_can_be_read(opened: Page) -> None:
    """At night, in the dark, on a phone: there the page is needed, and sideways scrolling hides the half of it."""
    expect(opened.locator("#section-tables")).to_contain_text("orders")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.evaluate(CONTRASTS) == []


def test_it_follows_what_happens_without_a_reload(opened: Page, watched: Watched) -> None:
    """Numbers of some minutes ago lead to wrong decisions."""
    opened.locator("#values-records summary").click()
    records = opened.locator("#section-tables tbody tr").filter(has_text="orders").locator("td").first
    before = int(records.inner_text())
    watched.scene.run("INSERT INTO orders SELECT MAX(id) + 1 FROM orders")
    expect(records).to_have_text(str(before + 1), timeout=SECONDS * 1000)
    expect(opened.locator("#values-records")).to_have_attribute("open", "")  # what was opened stays so


def test_names_from_the_server_are_text(opened: Page) -> None:
    """Whoever may create a table would else run scripts in the browser of whoever looks."""
    expect(opened.locator("#section-troubles")).to_contain_text(BARE, timeout=SECONDS * 1000)
    assert opened.locator("main img").count() == 0


def test_it_is_used_by_keyboard(opened: Page) -> None:
    """Without a mouse, or without sight."""
    opened.keyboard.press("Tab")
    expect(opened.get_by_text("Skip to the numbers")).to_be_focused()
    opened.keyboard.press("Enter")
    expect(opened.locator("main")).to_be_focused()
    plot = opened.locator("#chart-lag .plot")
    opened.keyboard.press("Tab")
    expect(plot).to_be_focused()
    opened.keyboard.press("ArrowLeft")
    expect(opened.locator("#chart-lag .now")).to_contain_text("ago")
    opened.keyboard.press("Escape")
    expect(opened.locator("#chart-lag .now")).not_to_contain_text("ago")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    expect(opened.locator("#values-lag")).to_have_attribute("open", "")


def test_it_is_built_for_screen_readers(opened: Page) -> None:
    """They go from landmark to landmark and from heading to heading, and read a cell with its headers."""
    for landmark in ("banner", "main", "contentinfo"):
        assert opened.get_by_role(landmark).count() == 1, landmark
    assert opened.locator("h1").count() == 1
    assert opened.locator("html").get_attribute("lang") == "en"
    for table in opened.locator("table").all():
        assert table.locator("thead th[scope=col]").count() > 0
    assert opened.locator("section:not([aria-label]):not([aria-labelledby])").count() == 0
    assert opened.locator("svg:not([aria-hidden])").count() == 0


def test_a_connection_that_is_lost_is_told(opened: Page, watched: Watched) -> None:
    """Numbers that stand still look like a service that is idle.  The last of these tests: it ends the capture."""
    watched.capture.kill()
    expect(opened.locator("#link")).to_contain_text("connection lost", timeout=SECONDS * 1000)
