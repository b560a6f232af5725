"""The example workflows, run by the engine with a tiny checkpoint in place of the demo model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.testing import run_graph
from comfykernel_storage_fs.plugin import make_storage

WORKFLOWS = sorted((Path(__file__).parents[4] / "examples" / "workflows").glob("*.json"))

# Values that make a run short.
SMALL = {"steps": 1, "width": 64, "height": 64, "left": 8, "top": 8, "right": 8, "bottom": 8}

# Pictures that each workflow leaves in the output folder.
PICTURES = {
    "text_to_image": 1,
    "image_to_image": 2,
    "batch_of_variations": 4,
    "image_operations": 4,
    "custom_sampling": 2,
}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_example_runs(path: Path, node_run: Callable[..., Any], tiny_checkpoint: Path) -> None:
    run = node_run()
    (run.base / "models/checkpoints/demo.safetensors").symlink_to(tiny_checkpoint)
    graph = json.loads(path.read_text())
    for node in graph.values():
        node["inputs"].update({name: value for name, value in SMALL.items() if name in node["inputs"]})
    settings = run.context.settings
    result = run_graph(graph, nodes=core_pack().nodes.values(), settings=settings, storage=make_storage(settings))
    assert result.exception is None
    assert result.status == "done"
    saved = list((run.base / "output").rglob("*.png"))
    assert len(saved) == PICTURES[path.stem]
    with Image.open(saved[0]) as picture:
        assert json.loads(picture.text["prompt"]) == graph


def test_every_example_is_counted() -> None:
    assert {path.stem for path in WORKFLOWS} == PICTURES.keys()
