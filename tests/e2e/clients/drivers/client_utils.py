"""comfyui-utils: reads the queue at every status, takes the first executed, or searches the whole history."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

from comfyui_utils.comfy import Callbacks, ComfyAPI


class _Kept(Callbacks):
    def __init__(self) -> None:
        self.outputs: dict[str, Any] = {}
        self.picture = b""

    async def queue_position(self, position: str) -> None:
        assert int(position) >= 0

    async def in_progress(self, node_id: int, progress: int, total: int) -> None:
        assert 0 <= progress <= max(total, progress)

    async def completed(self, outputs: dict[str, Any], cached: bool) -> None:
        self.outputs = outputs

    async def read(self, file: io.BytesIO) -> None:
        self.picture = file.read()


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    async def submit() -> bytes:
        api, kept = ComfyAPI(url.removeprefix("http://")), _Kept()
        await api.submit(workflow, kept)
        await api.fetch(kept.outputs["images"][0], kept.read)
        return kept.picture

    return [asyncio.run(submit())]
