"""What is wrong with a workflow is told: all of it, by node and field, with a stable type; nothing crashes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfykernel_sdk.errors import BadInput, InvalidPrompt
from comfykernel_sdk.graph import Graph, links_of
from comfykernel_sdk.nodes import NodeSpec
from comfykernel_ui_workflows.object_info import specs_of
from comfykernel_ui_workflows.reader import EditorReader

from .drawing import SPECS, Drawing, inputs, node_info, prompt, refused

TYPES = {
    "invalid_workflow", "unknown_node_type", "missing_link", "link_cycle",
    "subgraph_cycle", "subgraph_too_deep", "workflow_too_large",
}  # fmt: skip

NODE = {"id": 1, "type": "Turn", "inputs": [{"name": "image", "type": "IMAGE", "link": None}]}


def with_slot(**slot: object) -> dict[str, Any]:
    return {"nodes": [{**NODE, "inputs": [{"name": "image", "type": "IMAGE", **slot}]}], "links": []}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"nodes": [3]}, "nodes[0]"),
        ({"nodes": [{"type": "Turn"}]}, "nodes[0]"),
        ({"nodes": [{"id": 1}]}, ""),
        ({"nodes": [{**NODE, "id": None}]}, "nodes[0].id"),
        ({"nodes": [{**NODE, "type": 3}]}, "type"),
        ({"nodes": [{**NODE, "mode": "on"}]}, "mode"),
        ({"nodes": [{**NODE, "inputs": {}}]}, "inputs"),
        (with_slot(link=[1]), "inputs[0].link"),
        (with_slot(name=3), "inputs[0].name"),
        ({"nodes": [{**NODE, "widgets_values_named": []}]}, "widgets_values_named"),
        ({"nodes": [NODE, NODE]}, "id"),
        ({"nodes": [{**NODE, "id": "x" * 300}]}, "id"),
        ({"nodes": [], "links": 3}, "links"),
        ({"nodes": [], "links": [[1, 2]]}, "links[0]"),
        ({"nodes": [], "links": [[1, 2, "a", 3, 0]]}, "links[0].origin_slot"),
        ({"nodes": [], "links": [{"id": 1}]}, "links[0]"),
        ({"nodes": [], "links": ["x"]}, "links[0]"),
        ({"nodes": [], "definitions": []}, "definitions"),
        ({"nodes": [], "definitions": {"subgraphs": [3]}}, "definitions.subgraphs[0]"),
        ({"nodes": [], "definitions": {"subgraphs": [{"nodes": [3]}]}}, "definitions.subgraphs[0].nodes[0]"),
        ({"nodes": [], "extra": 3}, "extra"),
    ],
)
def test_what_has_the_wrong_form_is_named(document: dict[str, Any], field: str) -> None:
    error = refused(document)
    assert error.type == "invalid_workflow"
    assert error.hint
    assert error.extra_info["hint"] == error.hint
    assert str(error.extra_info.get("field", "")).startswith(field)
    if field in ("type", "mode", "inputs[0].link"):
        assert error.extra_info["node_id"] == "1"
        assert list(error.node_errors) == ["1"]


@pytest.mark.parametrize("gap", [None, {"links": [None]}, {"links": None}, {"definitions": None}, {"extra": None}])
def test_what_may_be_missing_is_no_problem(gap: dict[str, Any] | None) -> None:
    assert list(prompt({"nodes": [NODE], **(gap or {})})) == ["1"]


def test_unknown_classes_are_told_all_at_once_with_near_misses_and_packs() -> None:
    drawing = Drawing().node(1, "Pant").node(2, "Wobble", properties={"cnr_id": "wobbly-nodes"}).node(3, "Turn")
    drawing.node(4, "box").node(5, "Nope", mode=4).holding(Drawing(definition="box").node(9, "Turm"))
    error = refused(drawing)
    assert (error.type, error.message) == ("unknown_node_type", "The workflow has 3 problems.")
    assert sorted(error.node_errors) == ["1", "2", "4:9"]
    hints = {id: entry["errors"][0]["details"] for id, entry in error.node_errors.items()}  # type: ignore[index, call-overload]
    assert hints["1"] == "Did you mean 'Paint'?"
    assert hints["4:9"] == "Did you mean 'Turn'?"
    assert "wobbly-nodes" in hints["2"]
    assert "Node ID '#4:9' (Turm)" in error.details


def test_one_unknown_class_is_the_message() -> None:
    error = refused(Drawing().node(1, "Pant"))
    assert error.message == "There is no node class 'Pant'."
    assert error.extra_info == {"hint": "Did you mean 'Paint'?", "node_id": "1", "class_type": "Pant"}


def test_many_problems_are_cut_short() -> None:
    drawing = Drawing()
    for id in range(500):
        drawing.node(id, f"gone{id}")
    error = refused(drawing)
    assert len(error.node_errors) == 50
    assert error.details.endswith("and 450 more")


@pytest.mark.parametrize("link", [77, "x"])
def test_a_link_that_is_not_there(link: object) -> None:
    error = refused(with_slot(link=link))
    assert (error.type, error.extra_info["node_id"], error.extra_info["field"]) == ("missing_link", "1", "image")


def test_a_link_from_a_node_that_is_not_there() -> None:
    error = refused(Drawing().node(2, "Turn").wire(9, 2, "image"))
    assert (error.type, error.extra_info["node_id"], error.extra_info["field"]) == ("missing_link", "2", "image")
    inner = Drawing(definition="box", inputs=["a"]).node(1, "Turn").wire(-10, 1, "image", slot=5)
    assert refused(Drawing().node(7, "box").holding(inner)).extra_info["node_id"] == "7:1"


def test_a_broken_link_of_a_node_that_is_left_out_is_no_problem() -> None:
    drawing = Drawing().node(2, "Turn", mode=2).wire(9, 2, "image")
    assert prompt(drawing) == {}


def test_reroutes_in_a_circle() -> None:
    drawing = Drawing().node(1, "Reroute").node(2, "Turn", mode=4).node(3, "Save")
    drawing.wire(2, 1, "a").wire(1, 2, "image").wire(2, 3, "images")
    error = refused(drawing)
    assert (error.type, error.extra_info["node_id"], error.extra_info["field"]) == ("link_cycle", "3", "images")


def test_nodes_in_a_circle_are_left_to_the_check_of_the_prompt() -> None:
    drawing = Drawing().node(1, "Turn").node(2, "Turn").wire(1, 2, "image").wire(2, 1, "image")
    assert (inputs(drawing, "1")["image"], inputs(drawing, "2")["image"]) == (["2", 0], ["1", 0])


def test_a_subgraph_that_contains_itself() -> None:
    drawing = Drawing().node(7, "a").holding(Drawing(definition="a").node(1, "b"), Drawing(definition="b").node(2, "a"))
    error = refused(drawing)
    assert (error.type, error.extra_info["node_id"]) == ("subgraph_cycle", "7:1:2")
    assert "A > B > A" in error.message
    assert error.hint


def test_a_subgraph_that_contains_itself_but_is_not_used_is_no_problem() -> None:
    assert prompt(Drawing().node(7, "a", mode=4).holding(Drawing(definition="a").node(1, "a"))) == {}


def test_subgraphs_nested_too_deeply() -> None:
    definitions = [Drawing(definition=f"d{n}").node(1, f"d{n + 1}") for n in range(2000)]
    assert refused(Drawing().node(1, "d0").holding(*definitions)).type == "subgraph_too_deep"


def test_subgraphs_that_double_at_every_level() -> None:
    definitions = [Drawing(definition=f"d{n}").node(1, f"d{n + 1}").node(2, f"d{n + 1}") for n in range(60)]
    error = refused(Drawing().node(1, "d0").holding(*definitions))
    assert error.type == "workflow_too_large"
    assert error.hint


@pytest.mark.parametrize("answer", [[], 3, {"A": 3}, {"A": {}}, {"A": {"input": []}}])
def test_what_is_no_answer_of_object_info(answer: Any) -> None:
    with pytest.raises(BadInput) as caught:
        EditorReader().specs_of(answer)
    assert caught.value.type == "invalid_object_info"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
            st.sampled_from(["options", "key", "inputs", "required", "template", "input", "names", "min", "max", "x"]),
            inner, max_size=4,
        ),
        max_leaves=12,
    ),
    st.sampled_from(["COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3", "COMFY_MATCHTYPE_V3", "COMBO", "INT"]),
)  # fmt: skip
def test_strange_declarations_of_inputs_are_taken_as_plain_ones(options: Any, type: str) -> None:
    specs = specs_of({"Node": node_info({"first": [type, options], "second": options})})
    prompt(Drawing().node(1, "Node", [1, "a", [2]]), specs=specs)


IDS = st.integers(-21, 6) | st.sampled_from(["1", "a"])
SMALL = st.integers(-2, 4)
JUNK = st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2) | st.just({})
SLOT_NAMES = st.sampled_from(["image", "width", "first", "size", ""])
SLOT = st.fixed_dictionaries(
    {"name": SLOT_NAMES, "type": st.sampled_from(["IMAGE", "INT", "*", 0, ["a"]])},
    optional={"link": st.none() | SMALL, "widget": st.just({"name": "width"})},
)
DRAWN_TYPES = st.sampled_from(
    ["Paint", "Turn", "Mix", "Number", "Save", "Reroute", "PrimitiveNode", "Note", "A", "B", "Gone"]
)
DRAWN = st.fixed_dictionaries(
    {"id": IDS, "type": DRAWN_TYPES, "mode": st.sampled_from([0, 0, 0, 2, 4]), "inputs": st.lists(SLOT, max_size=3)},
    optional={
        "outputs": st.lists(SLOT, max_size=2),
        "widgets_values": st.lists(JUNK, max_size=4) | st.dictionaries(st.sampled_from(["width", "size"]), JUNK),
        "widgets_values_named": st.dictionaries(st.sampled_from(["width", "seed"]), JUNK),
        "properties": st.fixed_dictionaries({"proxyWidgets": st.lists(st.lists(IDS, max_size=2), max_size=2)}),
    },
)
LINK = st.tuples(SMALL, IDS, SMALL, IDS, SMALL).map(list)
PART = {
    "nodes": st.lists(DRAWN, max_size=6, unique_by=lambda node: str(node["id"])),
    "links": st.lists(LINK, max_size=8),
}
PORTS = st.lists(st.fixed_dictionaries({"name": st.sampled_from(["size", "first", ""])}), max_size=2)
DEFINITIONS = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from(["A", "B"]), **PART, "inputs": PORTS, "outputs": PORTS}), max_size=2
)
DOCUMENT = st.fixed_dictionaries({**PART, "definitions": st.fixed_dictionaries({"subgraphs": DEFINITIONS})})


def graph_or_error(document: dict[str, Any], specs: dict[str, NodeSpec]) -> Graph | InvalidPrompt:
    try:
        return EditorReader().convert(document, specs, seed=0).graph
    except InvalidPrompt as error:
        return error


def check_error(error: InvalidPrompt) -> None:
    assert error.type in TYPES
    assert error.message
    assert error.extra_info["hint"]


@settings(max_examples=400)
@given(document=DOCUMENT)
def test_any_drawing_becomes_a_prompt_or_a_clear_error(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    graph = graph_or_error(document, SPECS)
    if isinstance(graph, InvalidPrompt):
        check_error(graph)
    else:
        for node in graph.values():
            assert node["class_type"] in SPECS
            assert all(source in graph for _, source, _ in links_of(node))
    assert json.dumps(document, default=str) == json.dumps(before, default=str)


CASES = json.loads((Path(__file__).parent / "page_prompts.json").read_text())


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_workflow_becomes_a_prompt_or_a_clear_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CASES["cases"])))
    document = copy.deepcopy(CASES["cases"][name]["document"])
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and data.draw(st.integers(0, 4)):
                place = place[key]
                continue
            place[key] = data.draw(JUNK | st.integers(-3, 9))
            break
    if not EditorReader().is_document(document):
        return
    found = graph_or_error(document, specs_of(CASES["object_info"]))
    if isinstance(found, InvalidPrompt):
        check_error(found)
