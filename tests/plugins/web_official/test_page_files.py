"""The page and the files that it reads, over HTTP."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from tests.plugins.web_official.conftest import page_served

from comfykernel_web_official.published import page_folder


async def test_the_root_is_the_page_and_is_asked_for_again(page: httpx.AsyncClient) -> None:
    for path in ("/", "/index.html"):
        answer = await page.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.content == (page_folder() / "index.html").read_bytes()


async def test_the_status_page_stays_reachable(page: httpx.AsyncClient) -> None:
    answer = await page.get("/status")
    assert answer.status_code == 200
    assert "comfykernel" in answer.text


async def test_what_the_page_names_is_there_and_kept_for_long(page: httpx.AsyncClient) -> None:
    (script, *_) = re.findall(r'src="\./(assets/index-[^"]+\.js)"', (await page.get("/")).text)
    answer = await page.get(f"/{script}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    again = await page.get(f"/{script}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert answer.headers["content-encoding"] == "gzip"
    head = await page.head(f"/{script}")
    assert (head.content, head.headers["content-length"]) == (b"", answer.headers["content-length"])
    assert (await page.get("/scripts/app.js")).headers["cache-control"] == "no-cache"


async def test_what_browsers_ask_for_by_themselves_is_there(page: httpx.AsyncClient) -> None:
    assert (await page.get("/user.css")).headers["content-type"].startswith("text/css")
    icon = await page.get("/favicon.ico")
    assert (icon.headers["content-type"], icon.content[:4]) == ("image/x-icon", b"\0\0\1\0")
    assert "max-age" in icon.headers["cache-control"]
    assert (await page.head("/favicon.ico")).content == b""


async def test_those_who_take_no_compression_get_the_file_as_it_is(page: httpx.AsyncClient) -> None:
    packed = await page.get("/index.html")
    plain = await page.get("/index.html", headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-length"] == str(len(plain.content))
    assert packed.content == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"
    part = await page.get("/index.html", headers={"range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, plain.content[:10])


async def test_templates_and_docs_come_from_their_packages(page: httpx.AsyncClient) -> None:
    index = await page.get("/templates/index.json")
    assert index.headers["content-type"].startswith("application/json")
    assert index.json()[0]["templates"]
    assert (await page.get("/docs/KSampler/en.md")).text.strip()
    assert (await page.get("/docs/KSampler/none.md")).status_code == 404


async def test_files_of_packs_are_served_below_their_names(page: httpx.AsyncClient) -> None:
    script = await page.get("/extensions/shapes/deep/b.js")
    assert (script.status_code, script.headers["cache-control"]) == (200, "no-cache")
    assert (await page.get("/extensions/shapes/docs/Circle/en.md")).text == "# Circle"
    missing = await page.get("/extensions/shapes/none.js")
    assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-cache")
    assert (await page.get("/api/workflow_templates/shapes/round.json")).json() == {"nodes": []}
    assert (await page.get("/workflow_templates/shapes/round.json")).status_code == 404
    assert (await page.get("/extensions/core/groupNode.js")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/extensions/shapes/../plain.txt", "/extensions/shapes/..%2Fplain.txt", "/extensions/shapes/%2e%2e/plain.txt",
        "/extensions/shapes//a.js", "/extensions/shapes/a.js%00.png", "/extensions/shapes/deep", "/extensions/shapes",
        "/extensions/../secret.txt", "/extensions/shapes/..%5Cplain.txt", "/extensions/shapes/link.txt",
        "/assets/..%2F..%2F__init__.py", "/docs/..%2F__init__.py", "/extensions/shapes/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_nothing_else_is_served(page: httpx.AsyncClient, tmp_path: Path, path: str) -> None:
    (tmp_path / "shapes/web/link.txt").symlink_to(tmp_path / "secret.txt")
    answer = await page.get(httpx.URL(str(page.base_url).rstrip("/") + path))
    assert answer.status_code in (400, 404)
    assert "error" in answer.json()


async def test_files_can_only_be_read(page: httpx.AsyncClient) -> None:
    assert (await page.post("/extensions/shapes/a.js")).status_code == 405
    assert (await page.post("/extensions")).status_code == 405


async def test_without_the_plugin_the_status_page_is_the_root(tmp_path: Path) -> None:
    async with page_served(tmp_path, packs=[]) as client:
        assert (await client.get("/")).content == (await client.get("/status")).content
        assert (await client.get("/extensions")).json() == []
