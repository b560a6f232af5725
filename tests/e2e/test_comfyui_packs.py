"""Existing node packs, unchanged in ``custom_nodes/`` of a real server."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import PACKS, Server
from websockets.sync.client import connect

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MESSAGE_S = 60.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, pack_site: Callable[[str], Path]) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("packs")
    more = base / "elsewhere"
    for name, folder in (("class_pack", base / "custom_nodes"), ("route-pack", more), ("no_init", more)):
        shutil.copytree(PACKS / "comfyui_packs" / name, folder / name)
    server = Server(base, pack_site("contract_nodes"))
    server.start("--custom-nodes", str(more))
    yield server
    server.stop()


def prompt(**nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {id: {"class_type": name, "inputs": inputs} for id, (name, inputs) in nodes.items()}


def test_packs_are_there(served: Server) -> None:
    info = served.http.get("/object_info").json()
    assert info["Echo"]["python_module"] == "custom_nodes.class_pack"
    assert info["Answer"]["python_module"] == "custom_nodes.route-pack"
    assert "The node pack" in served.log()
    assert "has no __init__.py" in served.log()
    assert "/extensions/class_pack/class_pack.js" in served.http.get("/extensions").json()
    assert "class_pack" in served.http.get("/extensions/class_pack/class_pack.js").text


def test_a_workflow_runs(served: Server) -> None:
    graph = prompt(
        a=("Repeat", {"value": "x", "times": 3}), b=("Late", {"value": ["a", 0]}), c=("Show", {"value": ["b", 0]})
    )
    assert served.history(served.post(graph))["outputs"]["c"] == {"text": ["x"]}


def test_routes_are_served_by_the_worker(served: Server) -> None:
    served.http.get("/object_info")
    for prefix in ("", "/api"):
        answer = served.http.get(f"{prefix}/route_pack/hello/a%20b", params={"q": "1"})
        assert answer.json() == {"hello": "a b", "query": {"q": "1"}}
    answer = served.http.post("/route_pack/reversed", content=b"abc")
    assert (answer.status_code, answer.content, answer.headers["x-pack"]) == (201, b"cba", "route-pack")
    assert served.http.get("/route_pack/fails").status_code == 500
    assert served.http.get("/route_pack/nothing").status_code == 404
    assert served.http.post("/_comfykernel/specs").status_code in (404, 405)


def test_messages_reach_clients(served: Server) -> None:
    with connect(f"ws://127.0.0.1:{served.port}/ws?clientId=me") as socket:
        served.http.post("/route_pack/say")
        assert message(socket, "route_pack.said") == {"n": 1}
        served.post(prompt(a=("Answer", {"file": "none"})), client_id="me")
        assert message(socket, "route_pack.ran") == {"file": "none"}


def message(socket: Any, type: str) -> Any:
    """The data of the next message of this type."""
    end = time.monotonic() + MESSAGE_S
    while time.monotonic() < end:
        raw = socket.recv(timeout=MESSAGE_S)
        if isinstance(raw, str) and (found := json.loads(raw))["type"] == type:
            return found["data"]
    raise AssertionError(f"no message {type}")


def test_posted_prompts_are_shown_to_handlers(served: Server) -> None:
    entry = served.history(served.post(prompt(a=("OldName", {"file": "none"}))))
    assert entry["prompt"][2]["a"]["class_type"] == "Answer"
    assert "a handler that fails" in served.log()


def test_lists_of_files_are_those_of_now(served: Server) -> None:
    served.http.get("/object_info")
    (served.base / "input" / "new.txt").write_text("x")
    info = served.http.get("/object_info/Answer").json()["Answer"]
    assert info["input"]["required"]["file"] == [["new.txt"]]
    (served.base / "input" / "newer.txt").write_text("x")
    assert served.history(served.post(prompt(a=("Answer", {"file": "newer.txt"}))))["outputs"]["a"] == {
        "file": ["newer.txt"]
    }
    refused = served.http.post("/prompt", json={"prompt": prompt(a=("Answer", {"file": "gone.txt"}))})
    assert refused.json()["node_errors"]["a"]["errors"][0]["type"] == "value_not_in_list"
    for name in ("new.txt", "newer.txt"):
        (served.base / "input" / name).unlink()


def test_folders_of_models_that_packs_add_are_listed(served: Server) -> None:
    (served.base / "elsewhere" / "mine.bin").write_text("x")
    served.http.get("/object_info")
    assert "route_pack_models" in served.http.get("/models").json()
    assert "mine.bin" in served.http.get("/models/route_pack_models").json()


def test_a_pack_that_ends_its_process_fails_its_job(served: Server) -> None:
    entry = served.history(served.post(prompt(a=("Crash", {}))))
    assert entry["status"]["status_str"] == "error"
    after = served.history(served.post(prompt(a=("Echo", {"value": "b"}), b=("Show", {"value": ["a", 0]}))))
    assert after["outputs"]["b"] == {"text": ["b"]}
    assert served.http.get("/route_pack/hello/again").json()["hello"] == "again"
