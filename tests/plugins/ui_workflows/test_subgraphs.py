"""Subgraphs: ids, borders, nesting, and the values that instances show."""

from __future__ import annotations

from typing import Any

import pytest

from .drawing import Drawing, inputs, prompt


def box(name: str = "box", mode: int = 0) -> Drawing:
    """Turns what comes in; what it paints has a width that the instance shows."""
    drawing = Drawing(definition=name, inputs=["picture", "size"], outputs=["turned", "painted"])
    drawing.node(1, "Turn", mode=mode).node(2, "Paint", [64, 5, "fixed"])
    drawing.wire(-10, 1, "image").wire(-10, 2, "width", slot=1, type="INT", widget=True)
    return drawing.wire(1, -20, "0").wire(2, -20, "1")


def with_box(inner: Drawing | None = None, values: Any = None, **more: Any) -> Drawing:
    """A painting that goes through an instance with id 7 into a file; a second file has what is painted inside."""
    drawing = Drawing().node(1, "Paint").node(7, "box", values, **more).node(8, "Save").node(9, "Save")
    drawing.wire(1, 7, "picture").wire(7, 8, "images").wire(7, 9, "images", slot=1)
    return drawing.holding(inner or box())


def test_the_content_stands_in_for_the_instance() -> None:
    graph = prompt(with_box())
    assert sorted(graph) == ["1", "7:1", "7:2", "8", "9"]
    assert graph["7:1"]["inputs"]["image"] == ["1", 0]
    assert (graph["8"]["inputs"]["images"], graph["9"]["inputs"]["images"]) == (["7:1", 0], ["7:2", 0])


def test_one_definition_may_have_several_instances() -> None:
    graph = prompt(Drawing().node(3, "box", [10]).node(4, "box", [20]).holding(box()))
    assert (graph["3:2"]["inputs"]["width"], graph["4:2"]["inputs"]["width"]) == (10, 20)


@pytest.mark.parametrize(
    ("values", "more", "expected"),
    [
        ([99], {}, 99),
        ([], {}, 64),
        (None, {}, 64),
        ([None], {}, 64),
        ({"size": 98}, {}, 98),
        ([1], {"widgets_values_named": {"size": 97}}, 97),
        ([5, 96], {"properties": {"proxyWidgets": [["2", "seed"], ["-1", "size"]]}}, 96),
    ],
)
def test_the_value_of_the_instance_wins(values: Any, more: dict[str, Any], expected: int) -> None:
    assert inputs(with_box(values=values, **more), "7:2")["width"] == expected


def test_values_of_widgets_inside_that_the_instance_shows_without_an_input() -> None:
    proxies = [["2", "seed"], ["2", "control_after_generate"], ["2", "colour"], ["99", "nobody"], 3]
    found = inputs(with_box(values=[11, "fixed", "green", 1, 2], properties={"proxyWidgets": proxies}), "7:2")
    assert (found["seed"], found["colour"]) == (11, "green")


def test_a_link_to_the_instance_wins_over_its_value() -> None:
    drawing = with_box(values=[99]).node(5, "Number", [3]).wire(5, 7, "size", type="INT", widget=True)
    assert inputs(drawing, "7:2")["width"] == ["5", 0]
    drawing = with_box(values=[99]).node(5, "PrimitiveNode", [3]).wire(5, 7, "size", type="INT", widget=True)
    assert inputs(drawing, "7:2")["width"] == 3


@pytest.mark.parametrize(("outer", "inner", "expected"), [([7], [8], 7), ([], [8], 8), ([], [], 64)])
def test_the_outermost_value_of_a_nested_instance_wins(outer: list[int], inner: list[int], expected: int) -> None:
    wrapper = Drawing(definition="wrapper", inputs=["size"], outputs=[]).node(4, "box", inner)
    wrapper.wire(-10, 4, "size", type="INT", widget=True)
    drawing = Drawing().node(9, "wrapper", outer).holding(wrapper, box())
    assert inputs(drawing, "9:4:2")["width"] == expected


def test_a_muted_or_bypassed_instance_takes_its_content_with_it() -> None:
    assert sorted(prompt(with_box(mode=2))) == ["1", "8", "9"]
    assert "images" not in inputs(with_box(mode=2), "8")
    assert inputs(with_box(mode=4), "8")["images"] == ["1", 0]


def test_a_bypassed_node_inside_leads_outside() -> None:
    assert inputs(with_box(box(mode=4)), "8")["images"] == ["1", 0]
    assert "images" not in inputs(with_box(box(mode=2)), "8")


def test_a_definition_may_lead_straight_through() -> None:
    straight = Drawing(definition="box", inputs=["picture"], outputs=["same", "nothing"]).wire(-10, -20, "0")
    drawing = with_box(straight)
    assert inputs(drawing, "8")["images"] == ["1", 0]
    assert "images" not in inputs(drawing, "9")


def test_nested_to_the_deepest_level_that_is_allowed() -> None:
    definitions = [
        Drawing(definition=f"level{n}", inputs=["size"]).node(1, f"level{n + 1}").wire(-10, 1, "size", widget=True)
        for n in range(1, 100)
    ]
    last = Drawing(definition="level100", inputs=["size"]).node(1, "Paint", [1]).wire(-10, 1, "width", widget=True)
    drawing = Drawing().node(1, "level1", [5]).holding(*definitions, last)
    assert inputs(drawing, ":".join(["1"] * 101))["width"] == 5


def test_a_text_that_the_instance_shows_is_sent_as_it_is() -> None:
    inner = Drawing(definition="box", inputs=["text"]).node(1, "Encode", ["{a}"]).wire(-10, 1, "text", widget=True)
    assert inputs(Drawing().node(7, "box", ["{b} // c"]).holding(inner), "7:1")["text"] == "{b} // c"
    assert inputs(Drawing().node(7, "box", []).holding(inner), "7:1")["text"] == "a"


def test_the_nodes_of_a_border_may_have_other_ids() -> None:
    document = with_box().document()
    definition = document["definitions"]["subgraphs"][0]
    definition |= {"inputNode": {"id": "in"}, "outputNode": {"id": 500}}
    for link in definition["links"]:
        link["origin_id"] = "in" if link["origin_id"] == -10 else link["origin_id"]
        link["target_id"] = 500 if link["target_id"] == -20 else link["target_id"]
    assert inputs(document, "8")["images"] == ["7:1", 0]
    assert inputs(document, "7:1")["image"] == ["1", 0]
