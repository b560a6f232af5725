"""Published clients of the ComfyUI API, unchanged, against a real server."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from .conftest import INSTALLED, Drive

if TYPE_CHECKING:
    from tests.e2e.conftest import Server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not INSTALLED.is_dir(), reason="needs the published clients (make install)"),
]

CLIENTS = (
    "simplified", "workflow_client", "client_utils", "pycomfy_client", "toolkit", "comfyapi_manager", "async_tool",
    "script", "chunked",
)  # fmt: skip
COLOUR = 0x123456


def workflow(colour: int) -> dict[str, Any]:
    """A picture of one colour, inverted and saved. Ids are numbers: one client takes no others."""
    image = {"width": 64, "height": 48, "batch_size": 1, "color": colour}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image, "_meta": {"title": "Colour"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "Inverted"}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "clients"},
            "_meta": {"title": "Result"},
        },
    }


def pixel(picture: bytes) -> tuple[int, ...]:
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    (only,) = {image.getpixel((0, 0)), image.getpixel((image.width - 1, image.height - 1))}
    assert isinstance(only, tuple)
    return only


def is_inverted(picture: bytes, colour: int) -> bool:
    """Whether a picture shows the complement of an 8-bit colour; saving cuts off, which may take 1 away."""
    complement = (255 - (colour >> shift & 255) for shift in (16, 8, 0))
    return all(0 <= exact - found <= 1 for exact, found in zip(complement, pixel(picture), strict=True))


@pytest.mark.parametrize("client", CLIENTS)
def test_it_runs_a_workflow_and_gets_the_picture_also_from_the_cache(drive: Drive, client: str) -> None:
    colour = COLOUR + CLIENTS.index(client)
    for _ in range(2):
        pictures = drive(client, "run", workflow(colour))
        assert pictures
        assert all(is_inverted(picture, colour) for picture in pictures)


@pytest.mark.parametrize("client", ["simplified", "workflow_client", "async_tool", "chunked"])
def test_it_uploads_a_picture_that_a_workflow_loads(
    drive: Drive, client: str, shared_server: Server, tmp_path: Path
) -> None:
    file = tmp_path / "a picture.png"
    Image.new("RGB", (40, 30), (10, 200, 30)).save(file)
    name = drive(client, "upload", str(file))
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "uploaded"}},
    }
    entry = shared_server.history(shared_server.post(graph))
    (image,) = entry["outputs"]["2"]["images"]
    assert image["subfolder"] == ""
    assert pixel(shared_server.http.get("/view", params=image).content) == (10, 200, 30)


@pytest.mark.parametrize("client", ["simplified", "toolkit"])
def test_it_interrupts_what_runs(drive: Drive, client: str, shared_server: Server) -> None:
    graph = {
        "1": {"class_type": "ContractSleep", "inputs": {"value": client, "seconds": 60}},
        "2": {"class_type": "ContractOutput", "inputs": {"value": ["1", 0]}},
    }
    prompt_id = shared_server.post(graph)
    shared_server.wait(lambda: shared_server.running() == [prompt_id], "the start of the job")
    drive(client, "interrupt", None)
    status = shared_server.history(prompt_id)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    assert "execution_interrupted" in [name for name, _ in status["messages"]]


READ: dict[str, Callable[[Any], object]] = {
    "queue": lambda queue: queue == {"queue_running": [], "queue_pending": []},
    "before": lambda count: count == 0,
    "node": lambda info: info["EmptyImage"]["output"] == ["IMAGE"],
    "nodes": lambda count: count > 30,
    "system": lambda stats: stats["system"]["comfyui_version"] and stats["devices"],
    "embeddings": lambda names: isinstance(names, list),
    "counts": lambda counts: set(counts.values()) <= {0},
}


@pytest.mark.parametrize("client", ["simplified", "workflow_client", "toolkit", "chunked"])
def test_it_reads_what_the_server_tells(drive: Drive, client: str, shared_server: Server) -> None:
    prompt_id = shared_server.post(workflow(COLOUR))
    shared_server.history(prompt_id)
    found = drive(client, "read", prompt_id)
    item = found.pop("history")[prompt_id]
    assert item["prompt"][1:3] == [prompt_id, workflow(COLOUR)]
    assert item["status"]["completed"] is True
    assert [name for name, value in found.items() if not READ[name](value)] == []
