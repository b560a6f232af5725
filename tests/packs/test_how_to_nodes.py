"""The page of recipes for authors of packs says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from comfykernel_sdk.nodes import NodePack
from comfykernel_sdk.testing import run_graph, run_node

PAGE = (Path(__file__).parents[2] / "docs/how-to-nodes.md").read_text()


@pytest.fixture(scope="module")
def recipes() -> ModuleType:
    """All Python blocks of the page in one module."""
    module = ModuleType("recipes")
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(code, "how-to-nodes.md", "exec", dont_inherit=True), vars(module))
    return module


def test_json_of_the_page_is_json() -> None:
    blocks = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    assert [type(json.loads(block)) for block in blocks] == [dict, dict]


def test_the_recipes_run(recipes: ModuleType) -> None:
    image = torch.ones(1, 4, 6, 3)
    assert run_node(recipes.resize, image=image, how={"how": "by factor", "factor": 2.0}).output.shape == (1, 8, 12, 3)  # type: ignore[attr-defined]
    darker = run_node(recipes.darken, image=image, by=0.25).output
    assert (darker == 0.75).all()  # type: ignore[attr-defined]
    assert (image == 1.0).all()
    graph: Any = {
        "p": {"class_type": "HowToPalette", "inputs": {"colour": "red"}},
        "s": {"class_type": "HowToSwitch", "inputs": {"use": True, "on_true": ["p", 0], "on_false": ["p", 0]}},
        "c": {"class_type": "HowToCount", "inputs": {"palette": ["s", 0]}},
    }
    nodes = [recipes.palette, recipes.Switch, recipes.count]
    assert run_graph(graph, nodes=nodes, outputs=["c"]).value("c") == 1
    assert run_node(recipes.first, **{"pictures.picture0": image, "pictures.picture3": image}).output is image
    batched = run_node(recipes.batch, **{"images.image0": image, "images.image1": image, "weights.green": 0.5}).output
    assert torch.equal(batched, image * 0.5)  # type: ignore[arg-type]


def test_the_recipes_are_one_pack(recipes: ModuleType) -> None:
    pack = NodePack("how_to", [v for v in vars(recipes).values() if hasattr(v, "__comfykernel_node__")])
    assert len(pack.nodes) == 8
    add = pack.nodes["HowToAdd"].spec
    assert [(i.options or {})["tooltip"] for i in add.inputs] == [
        "the first number.",
        "the second one, which is often 1.",
    ]
    assert [replacement.old for replacement in recipes.pack.replacements] == ["HowToCounter", "HowToScale"]
