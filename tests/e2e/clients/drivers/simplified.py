"""comfy-api-simplified: submits over HTTP, then connects and waits for an empty queue or the end of its prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    images = ComfyApiWrapper(url).queue_and_wait_images(ComfyWorkflowWrapper(workflow), "Result")
    return list(images.values())


def upload(url: str, path: str, folder: Path) -> str:
    answer = ComfyApiWrapper(url).upload_image(path, "a folder")
    return f"{answer['subfolder']}/{answer['name']}"


def interrupt(url: str, argument: object, folder: Path) -> None:
    ComfyApiWrapper(url).interrupt()


def read(url: str, prompt_id: str, folder: Path) -> dict[str, object]:
    api = ComfyApiWrapper(url)
    return {
        "history": api.get_history(prompt_id),
        "queue": api.get_queue(),
        "before": api.get_queue_size_before(prompt_id) if api.get_queue()["queue_pending"] else 0,
        "node": api.get_object_info("EmptyImage"),
        "nodes": len(api.get_object_info()),
        "system": api.get_system_stats(),
        "embeddings": api.get_embeddings(),
    }
