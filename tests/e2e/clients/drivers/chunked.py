"""comfyui-api-client: uploads with a body of unknown length. Only its module of requests can be imported."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any


def _requests() -> Any:
    package = importlib.util.find_spec("comfyui_api_client")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0], "websocket_api.py")
    spec = importlib.util.spec_from_file_location("comfyui_api_client_requests", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(url: str, workflow: dict[str, Any], folder: Path) -> list[bytes]:
    import websocket

    api, host, client_id = _requests(), url.removeprefix("http://"), "chunked"
    socket = websocket.WebSocket()
    socket.connect(f"ws://{host}/ws?clientId={client_id}")
    prompt_id = api.queue_prompt(workflow, client_id, host)["prompt_id"]
    while True:
        message = json.loads(socket.recv())
        if message["type"] == "executing" and message["data"] == {"node": None, "prompt_id": prompt_id}:
            break
    socket.close()
    outputs = api.get_history(prompt_id, host)[prompt_id]["outputs"]
    images = [image for output in outputs.values() for image in output["images"]]
    return [api.get_image(image["filename"], image["subfolder"], image["type"], host) for image in images]


def upload(url: str, path: str, folder: Path) -> str:
    return str(_requests().upload_image(path, "sent in pieces.png", url.removeprefix("http://"))["name"])


def read(url: str, prompt_id: str, folder: Path) -> dict[str, object]:
    api, host = _requests(), url.removeprefix("http://")
    api.clear_comfy_cache(host, unload_models=True, free_memory=True)
    return {"history": api.get_history(prompt_id, host), "node": api.get_node_info_by_class("EmptyImage", host)}
