"""comfy-toolkit: polls the history until it is complete, or follows the WebSocket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_toolkit import ComfyClient


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    client = ComfyClient(url)
    (polled,) = client.wait_for_images(client.submit(workflow), poll_interval=0.2)
    followed = client.submit_and_track(workflow)
    return [client.download(polled), client.download(followed["images"][0])]


def interrupt(url: str, argument: object, folder: Path) -> None:
    ComfyClient(url).interrupt()


def read(url: str, prompt_id: str, folder: Path) -> dict[str, object]:
    client = ComfyClient(url)
    assert client.is_online()
    result = client.result(prompt_id)
    assert result is not None
    assert result["status"] == "completed"
    return {
        "history": {prompt_id: client.history(prompt_id)},
        "system": client.system_stats(),
        "counts": client.queue_status(),
    }
