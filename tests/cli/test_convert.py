"""``comfykernel convert``, and ``run`` of what is no prompt yet: documents of the editor, pictures."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .conftest import GRAPH, Invoke

TEXT_SLOT = {"name": "text", "type": "STRING", "link": 1, "widget": {"name": "text"}}
DOCUMENT: dict[str, Any] = {
    "id": "a-drawing",
    "nodes": [
        {"id": 1, "type": "Say", "title": "Greeting", "widgets_values": ["hello", 1, "fixed", "calm"]},
        {"id": 2, "type": "Write", "inputs": [TEXT_SLOT]},
    ],
    "links": [[1, 1, 0, 2, 0, "STRING"]],
}


@pytest.fixture(autouse=True)
def reader(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin that reads documents of the editor is loaded too."""
    monkeypatch.setenv("COMFYKERNEL_LOAD_PLUGINS", os.environ["COMFYKERNEL_LOAD_PLUGINS"] + ",comfykernel-ui-workflows")


def save(document: object, name: str = "workflow.json") -> str:
    Path(name).write_text(json.dumps(document))
    return name


def picture(**texts: object) -> str:
    info = PngInfo()
    for name, value in texts.items():
        info.add_text(name, json.dumps(value))
    Image.new("RGB", (4, 4)).save("picture.png", pnginfo=info)
    return "picture.png"


def test_a_document_becomes_the_prompt_that_it_draws(invoke: Invoke) -> None:
    result = invoke("convert", save(DOCUMENT))
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "1": {**GRAPH["1"], "_meta": {"title": "Greeting"}},
        "2": {"class_type": "Write", "inputs": {"kind": "output", "text": ["1", 0]}, "_meta": {"title": "Write"}},
    }


def test_the_prompt_goes_into_a_file(invoke: Invoke) -> None:
    Path("out.json").write_text("before")
    result = invoke("convert", "-", "-o", "out.json", input=json.dumps(DOCUMENT))
    assert (result.exit_code, result.stdout) == (0, "")
    assert list(json.loads(Path("out.json").read_text())) == ["1", "2"]
    assert [path.name for path in Path().iterdir() if "tmp" in path.name] == []
    assert "Can't write" in invoke("convert", save(DOCUMENT), "-o", "gone/out.json").stderr


@pytest.mark.parametrize("wrapped", [GRAPH, {"prompt": GRAPH}, {"prompt": GRAPH, "workflow": DOCUMENT}])
def test_a_prompt_stays_as_it_is(invoke: Invoke, wrapped: object) -> None:
    assert json.loads(invoke("convert", save(wrapped)).stdout) == GRAPH


@pytest.mark.parametrize(
    "wrapped",
    [{"prompt": DOCUMENT}, {"workflow": DOCUMENT}, {"extra_data": {"extra_pnginfo": {"workflow": DOCUMENT}}}],
)
def test_a_document_inside_a_request(invoke: Invoke, wrapped: object) -> None:
    assert list(json.loads(invoke("convert", save(wrapped)).stdout)) == ["1", "2"]


def test_nodes_that_are_not_installed_are_named_or_refused(invoke: Invoke) -> None:
    document = {"nodes": [{"id": 1, "type": "KSampler", "widgets_values": [5, "fixed", 20]}], "links": []}
    result = invoke("convert", save(document))
    assert (result.exit_code, result.stderr) == (0, "Not installed: KSampler\n")
    assert json.loads(result.stdout)["1"]["inputs"]["steps"] == 20
    result = invoke("convert", save(document), "--only-installed")
    assert result.exit_code == 2
    assert "There is no node class 'KSampler'." in result.stderr


def test_nodes_of_another_server(invoke: Invoke) -> None:
    info = {"Far": {"input": {"required": {"size": ["INT", {}], "seed": ["INT", {}]}}, "output": [], "output_name": []}}
    document = {"nodes": [{"id": 1, "type": "Far", "widgets_values": [3, 4]}], "links": []}
    result = invoke("convert", save(document), "--object-info", save(info, "info.json"))
    assert result.stderr == ""
    assert json.loads(result.stdout)["1"]["inputs"] == {"size": 3, "seed": 4}
    assert "no description of nodes" in invoke("convert", save(document), "--object-info", save([], "info.json")).stderr
    assert "Can't read gone.json" in invoke("convert", save(document), "--object-info", "gone.json").stderr


@pytest.mark.parametrize("texts", [{"prompt": GRAPH}, {"workflow": DOCUMENT}, {"prompt": GRAPH, "workflow": {}}])
def test_a_picture_converts(invoke: Invoke, texts: dict[str, object]) -> None:
    assert list(json.loads(invoke("convert", picture(**texts)).stdout)) == ["1", "2"]


def test_a_document_runs(invoke: Invoke) -> None:
    result = invoke("run", save(DOCUMENT), "--set", "Greeting.tone=loud", "--seed", "7")
    assert result.exit_code == 0, result.output
    assert Path("output/words_00001_.txt").read_text() == "hello 7 loud"


def test_a_picture_runs_from_a_file_and_from_standard_input(invoke: Invoke) -> None:
    name = picture(prompt=GRAPH, workflow=DOCUMENT)
    assert invoke("run", name).exit_code == 0
    with Path(name).open("rb") as file:
        result = invoke("run", "-", input=file.read())
    assert result.exit_code == 0, result.output
    assert Path("output/words_00002_.txt").read_text() == "hello 1 calm"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"nodes": [{"id": 1, "type": "Sya"}], "links": []}, "Did you mean 'Say'?"),
        ({"nodes": [{"id": 1, "type": "Say", "mode": "on"}], "links": []}, "mode"),
        ({"nodes": [], "links": []}, "Prompt has no outputs"),
    ],
)
def test_a_document_that_cannot_run_says_why(invoke: Invoke, document: object, message: str) -> None:
    result = invoke("run", save(document))
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_picture_without_a_workflow_says_so(invoke: Invoke) -> None:
    Path("plain.png").write_bytes(plain_png())
    for command in ("run", "convert"):
        result = invoke(command, "plain.png")
        assert result.exit_code == 2
        assert "The PNG file carries no workflow." in result.stderr


def plain_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()
