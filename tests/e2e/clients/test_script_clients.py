"""What scripts for the ComfyUI API do with nothing but urllib and a WebSocket."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from PIL import Image
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from tests.e2e.conftest import Server

pytestmark = pytest.mark.e2e

HEADER_BYTES = 8
"""Before the image of a binary message: the kind of event and the format."""


@pytest.fixture
def client_id() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def socket(shared_server: Server, client_id: str) -> Iterator[ClientConnection]:
    with connect(f"{shared_server.url.replace('http', 'ws')}/ws?clientId={client_id}", max_size=None) as connection:
        yield connection


def graph(node: str, inputs: dict[str, Any]) -> dict[str, Any]:
    image = {"width": 32, "height": 16, "batch_size": 1, "color": 0xFF8000}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": node, "inputs": {"images": ["1", 0], **inputs}},
    }


def post(server: Server, body: dict[str, Any]) -> dict[str, Any]:
    """As urllib sends it: with the content type of a form."""
    with urlopen(f"{server.url}/prompt", data=json.dumps(body).encode()) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def pixel(picture: bytes) -> object:
    return Image.open(io.BytesIO(picture)).convert("RGB").getpixel((3, 3))


def until_the_end(socket: ClientConnection, prompt_id: str) -> list[dict[str, Any]]:
    """Messages of text up to the one that tells the end of a prompt."""
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1] != {"type": "executing", "data": {"node": None, "prompt_id": prompt_id}}:
        frame = socket.recv(timeout=120)
        if isinstance(frame, str):
            seen.append(json.loads(frame))
    return seen


def test_a_script_may_only_submit(shared_server: Server) -> None:
    answer = post(shared_server, {"prompt": graph("SaveImage", {"filename_prefix": "script"})})
    assert answer["node_errors"] == {}
    assert shared_server.history(answer["prompt_id"])["status"]["completed"] is True


def test_a_script_waits_on_the_socket_then_reads_history_and_pictures(
    shared_server: Server, socket: ClientConnection, client_id: str
) -> None:
    prompt_id = str(uuid.uuid4())
    body = {"prompt": graph("SaveImage", {"filename_prefix": "script"}), "client_id": client_id, "prompt_id": prompt_id}
    assert post(shared_server, body)["prompt_id"] == prompt_id
    until_the_end(socket, prompt_id)
    with urlopen(f"{shared_server.url}/history/{prompt_id}") as answer:
        outputs = json.loads(answer.read())[prompt_id]["outputs"]
    for image in outputs["2"]["images"]:
        query = urlencode({"filename": image["filename"], "subfolder": image["subfolder"], "type": image["type"]})
        with urlopen(f"{shared_server.url}/view?{query}") as answer:
            assert pixel(answer.read()) == (255, 128, 0)


def test_a_script_takes_pictures_from_the_socket_and_nothing_is_saved(
    shared_server: Server, socket: ClientConnection, client_id: str
) -> None:
    answer = post(shared_server, {"prompt": graph("SaveImageWebsocket", {}), "client_id": client_id})
    pictures: list[bytes] = []
    current = None
    while True:
        frame = socket.recv(timeout=120)
        if isinstance(frame, bytes):
            assert current == "2", "pictures come while their node runs"
            pictures.append(frame[HEADER_BYTES:])
            continue
        message = json.loads(frame)
        if message["type"] == "executing" and message["data"].get("prompt_id") == answer["prompt_id"]:
            current = message["data"]["node"]
            if current is None:
                break
    assert [pixel(picture) for picture in pictures] == [(255, 128, 0)]
    assert shared_server.history(answer["prompt_id"])["outputs"] == {}
