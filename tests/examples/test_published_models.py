"""The example workflows for published models, run with small models in the layouts of the published files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from PIL import Image

from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_sdk.testing import run_graph
from comfykernel_storage_fs.plugin import make_storage

FOLDER = Path(__file__).parents[2] / "examples" / "workflows" / "published_models"
WORKFLOWS = sorted(path.stem for path in FOLDER.glob("*.json"))

# Values that make a run short; the pictures of the tests have this side.
SIDE = 64
SMALL = {"width": SIDE, "height": SIDE}

# Values without which the part that a workflow is about has no effect.
WITHOUT: dict[str, dict[str, object]] = {
    "image_to_image": {"denoise": 1.0},
    "inpaint": {"noise_mask": False},
    "lora": {"strength_model": 0.0, "strength_clip": 0.0},
    "controlnet": {"strength": 0.0},
    "flux": {"guidance": 1.0},
}

Graph: TypeAlias = dict[str, dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, published_models: Path) -> Callable[[Graph], np.ndarray]:
    """Runs a graph over small models and pictures and gives the picture that it saves, [height, width, 3] of 0..255."""
    (tmp_path / "models").symlink_to(published_models)
    (tmp_path / "input").mkdir()
    ramp = np.linspace(0, 255, SIDE, dtype=np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128), axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "input/photo.png")
    alpha = np.full((SIDE, SIDE, 1), 255, np.uint8)
    alpha[16:48, 16:48] = 0
    Image.fromarray(np.concatenate([pixels, alpha], axis=-1)).save(tmp_path / "input/photo_with_hole.png")
    settings = Settings(paths=PathSettings(base=str(tmp_path)))

    def saved(graph: Graph) -> np.ndarray:
        before = {*tmp_path.rglob("output/**/*.png")}
        result = run_graph(graph, nodes=core_pack().nodes.values(), settings=settings, storage=make_storage(settings))
        assert result.exception is None
        assert result.status == "done"
        (path,) = {*tmp_path.rglob("output/**/*.png")} - before
        with Image.open(path) as picture:
            assert json.loads(picture.text["prompt"]).keys() == graph.keys()
            return np.asarray(picture)

    return saved


def short(name: str, **changes: object) -> Graph:
    """A workflow of the folder with few steps and small sides, and with other values of inputs by their names."""
    graph: Graph = json.loads((FOLDER / f"{name}.json").read_text())
    for node in graph.values():
        inputs = node["inputs"]
        for key, value in {**SMALL, "steps": 2, **changes}.items():
            if key in inputs:
                inputs[key] = value
        for key in ("start_at_step", "end_at_step"):
            if inputs.get(key) == 20:
                inputs[key] = 1
    return graph


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_runs(name: str, run: Callable[[Graph], np.ndarray]) -> None:
    picture = run(short(name))
    side = SIDE * 4 if name == "upscale" else SIDE
    assert picture.shape == (side, side, 3)
    assert picture.std() > 1
    if name in WITHOUT:
        assert np.abs(picture.astype(int) - run(short(name, **WITHOUT[name]))).max() > 2


def test_every_file_is_named_in_the_readme() -> None:
    readme = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.json"):
        assert f"`{path.name}`" in readme
        for node in json.loads(path.read_text()).values():
            for value in node["inputs"].values():
                if isinstance(value, str) and value.endswith((".safetensors", ".pth", ".png")):
                    assert f"`{value}`" in readme
