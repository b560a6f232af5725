"""Workflows of the web editor and pictures that carry them: a real server, real commands, the demo model."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops

if TYPE_CHECKING:
    from .conftest import Server

WORKFLOWS = Path(__file__).parents[2] / "examples" / "workflows"
STEPS = 4
"""Steps of each drawing; more only take longer."""

pytestmark = pytest.mark.e2e


def drawing(name: str) -> dict[str, Any]:
    """An example of the editor whose instances draw in few steps."""
    document: dict[str, Any] = json.loads((WORKFLOWS / "editor" / f"{name}.json").read_text())
    for node in document["nodes"]:
        if "steps" in node.get("widgets_values_named", {}):
            node["widgets_values_named"]["steps"] = STEPS
    return document


def pictures(server: Server, prompt_id: str) -> list[Image.Image]:
    """What the job saved, in order."""
    entry = server.history(prompt_id)
    assert entry["status"]["status_str"] == "success", entry["status"]
    saved = [file for shown in entry["outputs"].values() for file in shown["images"]]
    return [Image.open(io.BytesIO(server.http.get("/view", params=file).content)) for file in saved]


def command(*arguments: str) -> str:
    """What ``comfykernel`` prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "comfykernel_cli", *arguments], capture_output=True, env=environment, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and ImageChops.difference(one, other).getbbox() is None


def test_a_drawing_of_the_editor_gives_the_picture_of_its_prompt_and_the_picture_runs_again(
    server: Server, tmp_path: Path
) -> None:
    document = drawing("text_to_image")
    prompt: dict[str, Any] = json.loads((WORKFLOWS / "text_to_image.json").read_text())
    prompt["5"]["inputs"]["steps"] = STEPS

    (drawn,) = pictures(server, server.post(document))
    (prompted,) = pictures(server, server.post(prompt))
    assert drawn.size == (256, 256)
    assert same(drawn, prompted)
    carried = {name: json.loads(text) for name, text in drawn.text.items()}  # type: ignore[attr-defined]
    assert carried["workflow"] == document
    assert {node["class_type"] for node in carried["prompt"].values()} == {
        node["class_type"] for node in prompt.values()
    }

    path = tmp_path / "picture.png"
    drawn.save(path, pnginfo=_texts(drawn))
    told = json.loads(command("run", str(path), "--json", "--cpu", "--base-directory", str(tmp_path / "again")))
    (file,) = told["files"]
    with Image.open(file["path"]) as again:
        assert same(drawn, again)
        assert again.text == drawn.text  # type: ignore[attr-defined]


def test_nested_subgraphs_draw_both_of_their_moods(server: Server) -> None:
    answer = server.http.post("/prompt", json={"extra_data": {"extra_pnginfo": {"workflow": drawing("two_moods")}}})
    assert answer.status_code == 200, answer.text
    warm, cold = pictures(server, answer.json()["prompt_id"])
    assert not same(warm, cold)


def test_a_drawing_that_cannot_run_is_refused_by_node(server: Server) -> None:
    document = drawing("text_to_image")
    document["definitions"]["subgraphs"][0]["nodes"][0]["type"] = "CLIPTextEncod"
    answer = server.http.post("/prompt", json={"prompt": document})
    assert answer.status_code == 400
    told = answer.json()
    assert told["error"]["type"] == "unknown_node_type"
    assert told["error"]["extra_info"]["hint"] == "Did you mean 'CLIPTextEncode'?"
    (entry,) = told["node_errors"].values()
    assert entry["class_type"] == "CLIPTextEncod"
    assert server.http.get("/queue").json() == {"queue_running": [], "queue_pending": []}


def _texts(image: Image.Image) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, text in image.text.items():  # type: ignore[attr-defined]
        info.add_text(name, text)
    return info
