"""The official page in a browser: a new user opens the address, sees a graph, runs it, sees the picture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from .conftest import Server

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOADED = "() => window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 20"
PICTURE = "() => app.graph.nodes.some((node) => node.type === 'SaveImage' && node.imgs?.length)"
TYPES = "() => app.graph.nodes.map((node) => node.type)"
WAIT_MS = 120_000

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]


@pytest.fixture
def page() -> Iterator[Page]:
    """A tab of a browser that finds no host but this machine."""
    arguments = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


def test_a_new_user_runs_the_default_graph(server: Server, page: Page) -> None:
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)

    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function(LOADED, timeout=WAIT_MS)
    page.wait_for_function("() => app.graph.nodes.length > 0", timeout=WAIT_MS)
    assert {"CheckpointLoaderSimple", "KSampler", "SaveImage"} <= set(page.evaluate(TYPES))

    # Steps only change how long it takes.
    page.evaluate("() => { const s = app.graph.nodes.find((n) => n.type === 'KSampler'); s.widgets[2].value = 2 }")
    page.locator("button[data-testid=queue-button], [data-testid=queue-button] button").first.click()
    page.wait_for_function(PICTURE, timeout=WAIT_MS)

    assert [url for url in failed if url.startswith(server.url)] == []
    assert len([url for url in asked if "/global_subgraphs" in url]) <= 1
