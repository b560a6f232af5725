"""The real HTTP transport with the page's plugin, over a kernel in memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.plugins.api_http.kernel_in_memory import MemoryKernel

from comfykernel_api_http.transport import HttpTransport
from comfykernel_sdk.settings import HttpSettings, PathSettings, Settings
from comfykernel_web_official import plugin

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import JsonObject


def write_pack(folder: Path, name: str, files: dict[str, object]) -> JsonObject:
    """A node pack's folder as a worker tells of it; files hold text, or JSON."""
    for path, content in files.items():
        file = folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return {"name": name, "web_directory": str(folder / name / "web")}


@contextlib.asynccontextmanager
async def page_served(folder: Path, *additions: object, packs: list[JsonObject]) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(paths=PathSettings(base=str(folder)), http=HttpSettings(port=0))
    kernel = MemoryKernel(settings)
    kernel.additions, kernel.packs = list(additions), packs
    transport = HttpTransport(settings)
    await transport.start(kernel)
    try:
        async with httpx.AsyncClient(base_url=transport.addresses()[0], timeout=20, trust_env=False) as client:
            yield client
    finally:
        await transport.stop()


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A server with the plugin and one pack ``shapes``."""
    (tmp_path / "secret.txt").write_text("secret")
    files: dict[str, object] = {
        "web/a.js": "export const a = 1;",
        "web/deep/b.js": "export const b = 2;",
        "web/docs/Circle/en.md": "# Circle",
        "locales/en/main.json": {"shapes": {"hello": "hello"}},
        "locales/en/nodeDefs.json": {"Circle": {"display_name": "A circle"}},
        "locales/fr/main.json": "no JSON",
        "example_workflows/round.json": {"nodes": []},
        "subgraphs/pair.json": {"definitions": {}},
        "plain.txt": "beside",
    }
    packs = [write_pack(tmp_path, "shapes", files), write_pack(tmp_path, "silent", {})]
    async with page_served(tmp_path, plugin, packs=packs) as client:
        yield client
