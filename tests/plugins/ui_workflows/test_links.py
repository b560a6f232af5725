"""Links followed through reroutes, primitives, muted and bypassed nodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_ui_workflows.bypass import fits, stand_in
from comfykernel_ui_workflows.document import Slot

from .drawing import Drawing, inputs, prompt

TYPES = st.sampled_from(["IMAGE", "image", "MASK", "LATENT", "IMAGE,MASK", "*", ""])


def through(type: str, mode: int = 0, **more: Any) -> Drawing:
    drawing = Drawing().node(1, "Paint").node(2, type, mode=mode, **more).node(3, "Save")
    return drawing.wire(1, 2, "" if type == "Reroute" else "image").wire(2, 3, "images")


@pytest.mark.parametrize(
    ("type", "mode", "expected"),
    [
        ("Turn", 0, ["2", 0]),
        ("Turn", 4, ["1", 0]),
        ("Turn", 2, None),
        ("Turn", 1, ["2", 0]),
        ("Reroute", 0, ["1", 0]),
        ("Reroute", 4, ["1", 0]),
        ("Reroute", 2, None),
    ],
)
def test_what_comes_through_a_node(type: str, mode: int, expected: list[Any] | None) -> None:
    graph = prompt(through(type, mode))
    assert graph["3"]["inputs"].get("images") == expected
    assert ("2" in graph) == (expected == ["2", 0])


def test_a_long_chain_of_reroutes_and_bypassed_nodes_is_followed_to_its_begin() -> None:
    drawing = Drawing().node(0, "Paint")
    for id in range(1, 5000):
        drawing.node(id, "Turn" if id % 2 else "Reroute", mode=4 if id % 2 else 0).wire(id - 1, id, "image")
    drawing.node(5000, "Save").wire(4999, 5000, "images")
    assert inputs(drawing, "5000")["images"] == ["0", 0]


def test_a_widget_keeps_its_value_when_a_bypass_leads_nowhere_and_loses_it_to_a_muted_node() -> None:
    for mode, expected in ((4, {"width": 64}), (2, {})):
        drawing = (
            Drawing().node(1, "Number", mode=mode).node(2, "Paint", [64]).wire(1, 2, "width", type="INT", widget=True)
        )
        assert {k: v for k, v in inputs(drawing, "2").items() if k == "width"} == expected


@pytest.mark.parametrize("mode", [0, 2, 4])
def test_a_primitive_gives_its_value_to_all_that_it_is_linked_to(mode: int) -> None:
    drawing = Drawing().node(1, "PrimitiveNode", [99, "fixed"], mode=mode).node(2, "Paint", [64]).node(3, "Paint", [65])
    drawing.wire(1, 2, "width", type="INT", widget=True).wire(1, 3, "width", type="INT", widget=True)
    assert (inputs(drawing, "2")["width"], inputs(drawing, "3")["width"]) == (99, 99)


@pytest.mark.parametrize("values", [None, [], {}])
def test_a_primitive_without_value_changes_nothing(values: Any) -> None:
    drawing = Drawing().node(1, "PrimitiveNode", values).node(2, "Paint", [64])
    assert inputs(drawing.wire(1, 2, "width", type="INT", widget=True), "2")["width"] == 64


def test_a_primitive_whose_value_has_a_name() -> None:
    drawing = Drawing().node(1, "PrimitiveNode", {"value": 5, "control_after_generate": "fixed"}).node(2, "Paint", [64])
    assert inputs(drawing.wire(1, 2, "width", type="INT", widget=True), "2")["width"] == 5


def slots(*types: str) -> list[Slot]:
    return [Slot(name=f"{type}{place}", type=type) for place, type in enumerate(types)]


@pytest.mark.parametrize(
    ("types", "given_type", "index", "wanted", "expected"),
    [
        (("IMAGE", "MASK"), "IMAGE", 1, "*", 1),
        (("IMAGE", "MASK"), "IMAGE", 5, "*", 0),
        (("IMAGE", "MASK"), "MASK", 0, "MASK", 1),
        (("image", "MASK"), "IMAGE", 0, "IMAGE", 0),
        (("LATENT", "IMAGE,MASK"), "IMAGE", 0, "IMAGE", 1),
        (("LATENT", "*"), "IMAGE", 0, "IMAGE", 1),
        (("LATENT", "MASK"), "IMAGE", 0, "IMAGE", None),
        ((), "IMAGE", 0, "*", None),
    ],
)
def test_the_input_that_stands_in_for_a_bypassed_output(
    types: tuple[str, ...], given_type: str, index: int, wanted: str, expected: int | None
) -> None:
    inputs = slots(*types)
    found = stand_in(inputs, slots(*[given_type] * (index + 1)), index, wanted)
    assert found is (None if expected is None else inputs[expected])


@given(one=TYPES, other=TYPES)
def test_types_fit_both_ways_or_not_at_all(one: str, other: str) -> None:
    assert fits(one or "*", other or "*") == fits(other or "*", one or "*")
    assert fits(one or "*", one or "*")


@given(types=st.lists(TYPES, max_size=5), outputs=st.lists(TYPES, max_size=5), index=st.integers(-1, 6), wanted=TYPES)
def test_whatever_stands_in_takes_the_wanted_type(
    types: list[str], outputs: list[str], index: int, wanted: str
) -> None:
    wanted = wanted or "*"
    found = stand_in(slots(*types), slots(*outputs), index, wanted)
    assert found is None or fits(found.wire_type, wanted)
    if any(type and type.lower() == wanted.lower() for type in types):
        assert found is not None


def test_a_link_that_only_the_list_of_links_knows_is_mended() -> None:
    drawing = Drawing().node(1, "Paint").node(2, "Save").wire(1, 2, "images")
    drawing.nodes[1]["inputs"][0]["link"] = 77
    assert inputs(drawing, "2")["images"] == ["1", 0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["Turn", "Reroute"]), st.sampled_from([0, 0, 2, 4]), st.integers(0, 30)), max_size=30
    )
)
def test_any_tree_of_links_leads_where_a_plain_walk_leads(rows: list[tuple[str, int, int]]) -> None:
    drawing = Drawing().node(0, "Paint")
    for id, (type, mode, origin) in enumerate(rows, start=1):
        drawing.node(id, type, mode=mode).wire(origin % id, id, "image")

    def walk(id: int) -> list[Any] | None:
        type, mode, origin = ("Paint", 0, 0) if id == 0 else rows[id - 1]
        if mode == 2:
            return None
        return [str(id), 0] if mode == 0 and type != "Reroute" else walk(origin % id)

    graph = prompt(drawing)
    for id, (type, mode, origin) in enumerate(rows, start=1):
        if mode == 0 and type == "Turn":
            assert graph[str(id)]["inputs"].get("image") == walk(origin % id)
