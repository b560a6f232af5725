"""comfyui-async-api-tool: follows the WebSocket to execution_success, takes the duration from the history."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
from comfyui_async_api_tool import ComfyClient


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    async def events() -> list[dict[str, Any]]:
        async with aiohttp.ClientSession() as session:
            client = ComfyClient(session, [url])
            return [event async for event in client.run(workflow)]

    *before, last = asyncio.run(events())
    assert last["type"] == "image", last
    assert last["generation_ms"] >= 0
    assert "progress" in [event["type"] for event in before]
    return [last["data"]]


def upload(url: str, path: str, folder: Path) -> str:
    async def send() -> dict[str, Any]:
        async with aiohttp.ClientSession() as session:
            answer: dict[str, Any] = await ComfyClient(session, url).upload_image(url, path)
            return answer

    return str(asyncio.run(send())["name"])
