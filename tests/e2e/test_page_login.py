"""The official page on a server that asks for tokens: a browser logs in once, then everything on the page works."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from comfykernel_api_http.tokens import TokenFile

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from .conftest import Server

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LOADED = "() => window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 20"
CONNECTED = "() => window.app?.api?.clientId && window.app.api.socket?.readyState === 1"
WAIT_MS = 300_000

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
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        tab.set_default_timeout(WAIT_MS)
        yield tab
        browser.close()


def test_a_browser_logs_in_once(make_server: Callable[[], Server], page: Page) -> None:
    server = make_server()
    secret, _ = TokenFile(server.base / "user" / "comfykernel").create(user="ann", label="")
    server.http.headers["Authorization"] = f"Bearer {secret}"
    server.start()

    refused = page.goto(server.url, wait_until="domcontentloaded")
    assert refused is not None
    assert refused.status == 401
    page.fill("input[name=token]", "ck_wrong")
    with page.expect_navigation():
        page.click("button")
    failed: list[str] = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    page.fill("input[name=token]", secret)
    with page.expect_navigation(wait_until="domcontentloaded"):
        page.click("button")

    page.wait_for_function(LOADED)
    page.wait_for_function(CONNECTED)
    assert page.url.rstrip("/") == server.url
    assert secret not in page.content()
    assert secret not in page.evaluate("() => document.cookie")
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(CONNECTED)
    assert [url for url in failed if url.startswith(server.url)] == []
