"""Group nodes of old: their content, their values, their inputs and outputs."""

from __future__ import annotations

from typing import Any

import pytest

from .drawing import Drawing, inputs, prompt, refused


def slot(name: str, type: str = "IMAGE") -> dict[str, Any]:
    return {"name": name, "type": type, "link": 3}


GROUP: dict[str, Any] = {
    "nodes": [
        {"type": "Paint", "widgets_values": [64, 5, "fixed", "red"], "outputs": [slot("IMAGE")], "index": 0},
        {"type": "Turn", "inputs": [slot("image")], "outputs": [slot("IMAGE")], "index": 1},
        {
            "type": "Paint",
            "title": "Second",
            "widgets_values": [32, 6, "fixed"],
            "outputs": [slot("IMAGE")],
            "index": 2,
        },
        {"type": "Save", "inputs": [slot("images")], "widgets_values": ["in"], "index": 3},
    ],
    "links": [[0, 0, 1, 0, "IMAGE"], [None, 0, 3, 0, "IMAGE"], [99, 0, 1, 0], [0]],
    "external": [],
}


def grouped(
    group: dict[str, Any] | None = None, values: Any = None, prefix: str = "workflow>", **more: Any
) -> dict[str, Any]:
    drawing = Drawing().node(1, "Paint").node(7, f"{prefix}mine", values, **more).node(8, "Save").node(9, "Save")
    drawing.wire(1, 7, "images").wire(7, 8, "images").wire(7, 9, "images", slot=1)
    return {**drawing.document(), "extra": {"groupNodes": {"mine": GROUP if group is None else group}}}


@pytest.mark.parametrize("prefix", ["workflow>", "workflow/"])
def test_a_group_is_its_content(prefix: str) -> None:
    graph = prompt(grouped(prefix=prefix))
    assert sorted(graph) == ["1", "7:0", "7:1", "7:2", "7:3", "8", "9"]
    assert graph["7:1"]["inputs"] == {"image": ["7:0", 0]}
    assert graph["7:3"]["inputs"] == {"filename_prefix": "in", "images": ["1", 0]}
    # The first painting is taken inside the group: it is none of its outputs.
    assert (graph["8"]["inputs"]["images"], graph["9"]["inputs"]["images"]) == (["7:1", 0], ["7:2", 0])


def test_values_of_a_group_have_the_controls_of_its_nodes_between_them() -> None:
    graph = prompt(grouped(values=[100, 7, "randomize", "green", 200, 8, "fixed", "red", "out"]))
    assert graph["7:0"]["inputs"] == {"width": 100, "seed": 7, "colour": "green"}
    assert graph["7:2"]["inputs"] == {"width": 200, "seed": 8, "colour": "red"}
    assert graph["7:3"]["inputs"]["filename_prefix"] == "out"


def test_values_that_the_group_does_not_have_are_those_inside() -> None:
    assert inputs(grouped(values=[100]), "7:0") == {"width": 100, "seed": 5, "colour": "red"}
    assert inputs(grouped(), "7:2") == {"width": 32, "seed": 6, "colour": "red"}


def test_a_name_that_was_there_before_has_the_title_of_the_node() -> None:
    values = {"width": 1, "Second width": 2}
    graph = prompt(grouped(values=values))
    assert (graph["7:0"]["inputs"]["width"], graph["7:2"]["inputs"]["width"]) == (1, 2)


def test_outputs_that_the_group_shows_or_hides() -> None:
    assert inputs(grouped({**GROUP, "external": [[0, 0, "IMAGE"]]}), "8")["images"] == ["7:0", 0]
    assert inputs(grouped({**GROUP, "config": {"1": {"output": {"0": {"visible": False}}}}}), "8")["images"] == [
        "7:2",
        0,
    ]


def test_an_input_that_the_group_calls_by_another_name() -> None:
    named = {**GROUP, "config": {"3": {"input": {"images": {"name": "pictures"}}}}}
    document = grouped(named)
    assert "images" not in inputs(document, "7:3")
    document["nodes"][1]["inputs"][0]["name"] = "pictures"
    assert inputs(document, "7:3")["images"] == ["1", 0]


def test_a_muted_group_takes_its_content_with_it() -> None:
    assert sorted(prompt(grouped(mode=2))) == ["1", "8", "9"]


@pytest.mark.parametrize("group", [3, {}, {"nodes": 3}, {"nodes": [{"type": 3}]}, {"nodes": [], "links": [1]}])
def test_a_broken_group_is_named(group: Any) -> None:
    error = refused(grouped(group))
    assert error.type == "invalid_workflow"
    assert "groupNodes.mine" in str(error)
