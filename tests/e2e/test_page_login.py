"""The official page on a server that asks for tokens: a browser logs in once, then everything on the page works."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from comfykernel_api_http.tokens import TokenFile

from .browser import LOADED, needs_browser, open_browser

if TYPE_CHECKING:
    from .conftest import Server

CONNECTED = "() => window.app?.api?.clientId && window.app.api.socket?.readyState === 1"

pytestmark = needs_browser


def test_a_browser_logs_in_once(make_server: Callable[[], Server]) -> None:
    server = make_server()
    secret, _ = TokenFile(server.base / "user" / "comfykernel").create(user="ann", label="")
    server.http.headers["Authorization"] = f"Bearer {secret}"
    server.start()

    with open_browser() as browser:
        page = browser.tab()
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

        browser.wait(page, LOADED)
        browser.wait(page, CONNECTED)
        assert page.url.rstrip("/") == server.url
        assert secret not in page.content()
        assert secret not in page.evaluate("() => document.cookie")
        page.reload(wait_until="domcontentloaded")
        browser.wait(page, CONNECTED)
        assert [url for url in failed if url.startswith(server.url)] == []
