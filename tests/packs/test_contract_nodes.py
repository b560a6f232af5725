"""The test nodes do what the contract's cases expect of them."""

from __future__ import annotations

import io

import pytest
from contract_nodes.plugin import register_nodes
from PIL import Image

from comfykernel_sdk.events import NodePreview, NodeText
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import NodePack, NodeSpec
from comfykernel_sdk.testing import GraphRun, run_graph


@pytest.fixture
def pack() -> NodePack:
    packs: list[NodePack] = []
    register_nodes(packs.append)
    return packs[0]


def run_one(pack: NodePack, kind: str, **inputs: Json) -> GraphRun:
    graph: dict[str, dict[str, Json]] = {"1": {"class_type": f"Contract{kind}", "inputs": inputs}}
    return run_graph(graph, nodes=pack.nodes.values(), outputs=["1"])


def options(spec: NodeSpec) -> dict[str, tuple[str, object, object]]:
    return {i.name: (i.group, i.choices[:2] if i.choices else i.type, i.options) for i in spec.inputs}


def test_interfaces(pack: NodePack) -> None:
    assert len(pack.nodes) == 21
    specs = {id.removeprefix("Contract"): definition.spec for id, definition in pack.nodes.items()}
    assert [spec.id for spec in specs.values() if spec.description or spec.display_name is None] == []
    assert options(specs["Preview"]) == {
        "value": ("required", "STRING", {"default": ""}),
        "steps": ("required", "INT", {"default": 1, "min": 1, "max": 100}),
        "format": ("required", ["JPEG", "PNG"], None),
        "max_size": ("required", "INT", {"default": 0, "min": 0, "max": 4096}),
    }
    assert options(specs["Lazy"])["a"] == ("required", "STRING", {"forceInput": True, "lazy": True})
    types = options(specs["Types"])
    assert types["any"] == ("optional", "*", None)
    assert types["anycombo"] == ("optional", ["x", "y"], {})
    assert types["free"] == ("optional", "CONTRACT_FREE", {})
    assert (specs["Validate"].validates, specs["ValidateTypes"].checks_types) == (["number"], True)


def test_values_pass_through(pack: NodePack) -> None:
    for kind in ("Echo", "Sleep", "Async", "Progress", "Text", "Changed"):
        extra: dict[str, Json] = {"seconds": 0.0, "steps": 2, "broadcast": True, "mode": "never"}
        known = {i.name for i in pack.nodes[f"Contract{kind}"].spec.inputs}
        run = run_one(pack, kind, value="v", **{name: value for name, value in extra.items() if name in known})
        assert run.value("1") == "v", kind
    assert run_one(pack, "Multi", value="abc", seed=1).outputs["1"] == [["abc"], [3], ["abc", "abc"]]
    assert run_one(pack, "List", value="v", count=2).outputs["1"] == [["v0", "v1"]]


def test_pictures_and_texts(pack: NodePack) -> None:
    run = run_one(pack, "Preview", value="v", steps=2, format="PNG", max_size=16)
    previews = [event for event in run.events if isinstance(event, NodePreview)]
    image = Image.open(io.BytesIO(previews[0].image))
    assert (len(previews), image.format, image.size, image.getpixel((0, 0))) == (2, "PNG", (16, 8), (200, 40, 80))
    (text,) = [e for e in run_one(pack, "Text", value="v", broadcast=True).events if isinstance(e, NodeText)]
    assert (text.node_id, text.text, text.broadcast) == ("1", "v", True)


def test_failures(pack: NodePack) -> None:
    error = run_one(pack, "Fail", value="v", message="m").error
    assert error is not None
    assert (error.exception_type, error.exception_message) == ("ValueError", "m\n")
    error = run_one(pack, "Expand", value="v", count=2, inner="fail").error
    assert error is not None
    assert (error.node_type, error.exception_message) == ("ContractExpand", "inner failure\n")


def test_what_was_received(pack: NodePack) -> None:
    run = run_one(pack, "Types", i=1, f=0.5, s="", b=True, c="red", any=[1])
    assert run.ui["1"]["seen"] == [
        {"any": ["list", [1]], "b": ["bool", True], "c": ["str", "red"], "f": ["float", 0.5], "i": ["int", 1],
         "s": ["str", ""]}
    ]  # fmt: skip
