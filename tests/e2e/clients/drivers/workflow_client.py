"""comfyui-workflow-client: polls the history until its prompt has outputs."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

from comfyuiclient import ComfyUIClient, ComfyUIClientAsync
from PIL import Image


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    client = ComfyUIClient(_host(url), _file(workflow, folder))
    client.connect()
    results = client.generate(["Result"])
    client.close()
    return [_png(results["Result"]), _png(asyncio.run(_run_async(url, workflow, folder)))]


async def _run_async(url: str, workflow: dict[str, Any], folder: Path) -> Image.Image:
    client = ComfyUIClientAsync(_host(url), _file(workflow, folder))
    await client.connect()
    results = await client.generate(["Result"])
    await client.close()
    return results["Result"]


def upload(url: str, path: str, folder: Path) -> str:
    loader = {"1": {"class_type": "LoadImage", "inputs": {"image": ""}}}
    client = ComfyUIClient(_host(url), _file(loader, folder))
    client.connect()
    client.set_data("LoadImage", image=Image.open(path))
    client.close()
    return str(client.comfyui_prompt["1"]["inputs"]["image"])


def read(url: str, prompt_id: str, folder: Path) -> dict[str, object]:
    client = ComfyUIClient(_host(url), _file({}, folder))
    client.connect()
    return {"history": client.get_history(prompt_id)}


def _host(url: str) -> str:
    return url.removeprefix("http://")


def _file(workflow: dict[str, Any], folder: Path) -> str:
    (folder / "workflow.json").write_text(json.dumps(workflow))
    return str(folder / "workflow.json")


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
