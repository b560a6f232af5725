"""The official page in a browser: a new user opens the address, runs the graph, looks around; nothing fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .browser import LOADED, Browser, needs_browser, open_browser
from .conftest import Server

OLDER_PAGE = Path(os.environ.get("COMFYKERNEL_OLDER_PAGE", Path(sys.prefix) / "older_page"))
"""Where `make install` puts the oldest version of the page that is supported."""
OUTSIDE = {"api.comfy.org"}
"""Hosts that the page asks by itself; the README names them."""
PICTURE = "() => app.graph.nodes.some((node) => node.type === 'SaveImage' && node.imgs?.length)"
TYPES = "() => app.graph.nodes.map((node) => node.type)"
CARDS = "[data-testid^=template-workflow-] img, [role=dialog] img"
FETCHED = """() => performance.getEntriesByType('resource')
    .filter((each) => each.name.includes('/assets/') && each.transferSize > 0).map((each) => each.name)"""

pytestmark = needs_browser


class Watched:
    """A tab that notes what its page asked for, and what of that failed."""

    def __init__(self, browser: Browser) -> None:
        self.page = page = browser.tab()
        self._browser = browser
        self.asked: list[str] = []
        self.failed: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", lambda request: self._fails(request.url, str(request.failure)))
        page.on("response", lambda answer: answer.status >= 400 and self._fails(answer.url, str(answer.status)))
        # The browser's own requests (an icon) are told on the console alone.
        page.on("console", lambda line: "Failed to load" in line.text and self._fails(line.location["url"], line.text))

    def _fails(self, url: str, why: str) -> None:
        if urlsplit(url).hostname not in OUTSIDE:
            self.failed.append(f"{url}: {why}")

    def run(self, command: str) -> None:
        """Run a command of the page."""
        self.page.evaluate("(name) => app.extensionManager.command.execute(name)", command)

    def wait_for(self, condition: str) -> None:
        self._browser.wait(self.page, condition)


@pytest.fixture(params=["newest", "oldest"])
def page_server(request: pytest.FixtureRequest, contract_site: Path, tmp_path: Path) -> Iterator[Server]:
    """A server with the installed page, and one with the oldest that is supported."""
    if request.param == "oldest" and not OLDER_PAGE.is_dir():
        pytest.skip("needs the older page (make install)")
    server = Server(tmp_path, contract_site, *([OLDER_PAGE] if request.param == "oldest" else []))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def open_tab() -> Iterator[Callable[[], Watched]]:
    """Opens tabs of one browser."""
    with open_browser() as browser:
        yield lambda: Watched(browser)


def test_a_new_user_runs_the_default_graph_and_looks_around(
    page_server: Server, open_tab: Callable[[], Watched]
) -> None:
    tab = open_tab()
    tab.page.goto(page_server.url, wait_until="domcontentloaded")
    tab.wait_for(LOADED)
    tab.wait_for("() => app.graph.nodes.length > 0")
    assert {"CheckpointLoaderSimple", "KSampler", "SaveImage"} <= set(tab.page.evaluate(TYPES))

    # Steps only change how long it takes.
    tab.page.evaluate("() => { const s = app.graph.nodes.find((n) => n.type === 'KSampler'); s.widgets[2].value = 2 }")
    tab.page.locator("button[data-testid=queue-button], [data-testid=queue-button] button").first.click()
    tab.wait_for(PICTURE)

    tab.run("Comfy.BrowseTemplates")
    tab.page.locator(CARDS).nth(3).wait_for()
    tab.page.mouse.move(900, 600)
    for _ in range(3):
        tab.page.mouse.wheel(0, 700)
        tab.page.wait_for_timeout(500)
    tab.page.keyboard.press("Escape")
    tab.run("Comfy.ShowSettingsDialog")
    tab.page.locator("[role=dialog]").first.wait_for()

    assert tab.failed == []
    assert {urlsplit(url).hostname for url in tab.asked if url.startswith("http")} <= {"127.0.0.1", *OUTSIDE}
    assert len([url for url in tab.asked if "/global_subgraphs" in url]) <= 1
    assert [url for url in tab.asked if "/templates/" in url and url.endswith(".svg")]

    second = open_tab()
    second.page.goto(page_server.url, wait_until="domcontentloaded")
    second.wait_for(LOADED)
    assert second.page.evaluate(FETCHED) == [], "scripts are kept by the browser"
    assert second.failed == []
