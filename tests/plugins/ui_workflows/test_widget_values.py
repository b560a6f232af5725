"""Values of widgets: by position with what stands between them, by name, with defaults, and inputs that depend."""

from __future__ import annotations

from typing import Any

import pytest

from comfykernel_ui_workflows.object_info import specs_of

from .drawing import Drawing, inputs, node_info

LAST = {"last": ["STRING", {"default": "end"}]}


def read(declared: dict[str, Any], values: Any = None, **more: Any) -> dict[str, Any]:
    """What is sent for a node with these inputs and an input ``last``, by position unless named."""
    specs = specs_of({"Node": node_info({**declared, **LAST})})
    return inputs(Drawing().node(1, "Node", values, **more), "1", specs=specs)


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        (["INT", {"default": 3}], [5, "x"], 5),
        (["FLOAT", {}], [0.5, "x"], 0.5),
        (["BOOLEAN", {}], [True, "x"], True),
        ([["a", "b"], {}], ["gone.safetensors", "x"], "gone.safetensors"),
        (["COMBO", {"options": ["a", "b"]}], ["b", "x"], "b"),
        (["COMBO", {"options": ["a"], "multi_select": True}], [["a", 1], "x"], {"__value__": ["a", 1]}),
        (["INT", {"control_after_generate": True}], [5, "increment", "x"], 5),
        (["COMBO", {"options": ["a"], "control_after_generate": True}], ["a", "fixed", "", "x"], "a"),
        (["COMBO", {"image_upload": True}], ["a.png", "image", "x"], "a.png"),
        (["COMBO", {"audio_upload": True}], ["a.mp3", None, "x"], "a.mp3"),
        (["COMBO", {"remote": {"route": "/x"}}], ["a", False, "x"], "a"),
        (["BOUNDING_BOX", {}], [{"x": 1}, 1, 2, 3, 4, "x"], {"x": 1}),
        (["COLOR", {}], ["#ff0000", "x"], "#ff0000"),
        (["CURVE", {}], [{"points": []}, "x"], {"__type__": "CURVE", "__value__": {"points": []}}),
        (["FLOAT,INT", {"widgetType": "FLOAT"}], [2.5, "x"], 2.5),
    ],
)
def test_a_value_by_position(declared: list[Any], values: list[Any], expected: object) -> None:
    assert read({"first": declared}, values) == {"first": expected, "last": "x"}


@pytest.mark.parametrize(
    "declared",
    [["IMAGE", {}], ["INT", {"forceInput": True}], ["FLOAT,INT", {}], ["COMFY_MATCHTYPE_V3", {"template": {}}], ["*"]],
)
def test_inputs_without_a_widget_have_no_value(declared: list[Any]) -> None:
    assert read({"first": declared}, ["x"]) == {"last": "x"}


@pytest.mark.parametrize("name", ["seed", "noise_seed"])
@pytest.mark.parametrize("control", ["fixed", "randomize", True])
def test_a_seed_has_a_control_unless_it_says_that_it_has_none(name: str, control: object) -> None:
    assert read({name: ["INT", {}]}, [5, control, "x"]) == {name: 5, "last": "x"}
    assert read({name: ["INT", {"control_after_generate": False}]}, [5, "fixed"]) == {name: 5, "last": "fixed"}


def test_required_inputs_come_before_optional_ones() -> None:
    info = node_info({"b": ["INT", {}]}, {"c": ["INT", {}]})
    info["input"] = {"optional": info["input"]["optional"], "required": info["input"]["required"]}
    assert inputs(Drawing().node(1, "N", [1, 2]), "1", specs=specs_of({"N": info})) == {"b": 1, "c": 2}


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (["INT", {"default": 3}], 3),
        (["INT", {}], 0),
        (["INT", {"min": 4}], 4),
        (["FLOAT", {"default": None}], 0.0),
        (["STRING", {}], ""),
        (["BOOLEAN", {}], False),
        ([["a", "b"], {}], "a"),
        ([["a", "b"], {"default": "b"}], "b"),
    ],
)
@pytest.mark.parametrize("values", [None, [], [None]])
def test_a_value_that_is_not_kept_is_the_default(declared: list[Any], expected: object, values: Any) -> None:
    assert read({"first": declared}, values)["first"] == expected


def test_an_empty_list_of_choices_has_no_default() -> None:
    assert read({"first": [[], {}]}) == {"last": "end"}


def test_surplus_values_are_dropped() -> None:
    assert read({"first": ["INT", {}]}, [1, "x", 3, [4]]) == {"first": 1, "last": "x"}


@pytest.mark.parametrize("member", ["widgets_values", "widgets_values_named"])
def test_values_by_name_need_no_order_and_other_names_are_left_out(member: str) -> None:
    named = {"last": "x", "control_after_generate": "fixed", "seed": 5, "upload": "image"}
    found = read({"seed": ["INT", {}], "size": ["INT", {"default": 2}]}, **{member: named})
    assert found == {"seed": 5, "size": 2, "last": "x"}


def test_names_win_over_positions() -> None:
    assert read({"first": ["INT", {}]}, [1, "x"], widgets_values_named={"first": 2, "last": "y"})["first"] == 2


CHOICE = ["COMFY_DYNAMICCOMBO_V3", {"options": [
    {"key": "size", "inputs": {"required": {"width": ["INT", {"default": 8}], "seed": ["INT", {}]}}},
    {"key": "again", "inputs": {"required": {"how": ["COMFY_DYNAMICCOMBO_V3", {"options": [
        {"key": "fast", "inputs": {"required": {"speed": ["FLOAT", {"default": 1.5}]}}},
        {"key": "none", "inputs": {}},
    ]}]}, "optional": {"mask": ["MASK", {}]}}},
]}]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["size", 64, 5, "fixed", "x"], {"by": "size", "by.width": 64, "by.seed": 5, "last": "x"}),
        (["again", "fast", 2.0, "x"], {"by": "again", "by.how": "fast", "by.how.speed": 2.0, "last": "x"}),
        (["again", "none", "x"], {"by": "again", "by.how": "none", "last": "x"}),
        (["gone", "x"], {"by": "gone", "last": "x"}),
        ([], {"by": "size", "by.width": 8, "by.seed": 0, "last": "end"}),
    ],
)
def test_values_of_a_choice_follow_it(values: list[Any], expected: dict[str, Any]) -> None:
    assert read({"by": CHOICE}, values) == expected


def test_values_of_a_choice_by_name() -> None:
    named = {"by": "again", "by.how": "fast", "by.how.speed": 3.0, "by.width": 1, "last": "x"}
    assert read({"by": CHOICE}, widgets_values_named=named) == {
        "by": "again", "by.how": "fast", "by.how.speed": 3.0, "last": "x",
    }  # fmt: skip


def growing(**template: Any) -> list[Any]:
    return ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"text": ["STRING", {}]}}, "min": 1, **template}}]


@pytest.mark.parametrize("declared", [growing(prefix="t", max=9), growing(names=["t0", "t1", "t2", "t3"])])
def test_values_of_a_growing_group(declared: list[Any]) -> None:
    slots = [{"name": f"texts.t{n}", "type": "STRING", "link": None, "widget": {}} for n in range(3)]
    expected = {"texts.t0": "a", "texts.t1": "b", "texts.t2": "c", "last": "x"}
    assert read({"texts": declared}, ["a", "b", "c", "x"], inputs=slots) == expected
    assert read({"texts": declared}, ["a", "b", "x"]) == {"texts.t0": "a", "texts.t1": "b", "last": "x"}
    assert read({"texts": declared}, ["a", "b", "c", "x"], inputs=slots[1:2]) == expected
    assert read({"texts": declared}, widgets_values_named=expected) == expected


def test_links_into_growing_groups_and_choices_keep_their_dotted_names() -> None:
    specs = specs_of({"Node": node_info({"by": CHOICE, "texts": growing(prefix="t", max=9)})})
    drawing = Drawing().node(1, "Note").node(2, "Node", ["again", "none", "a", "b"]).node(3, "Node", ["size", 1, 2])
    drawing.wire(3, 2, "by.mask").wire(3, 2, "texts.t1", widget=True)
    found = inputs(drawing, "2", specs=specs)
    assert (found["by.mask"], found["texts.t1"], found["texts.t0"]) == (["3", 0], ["3", 0], "a")


def test_a_widget_that_only_some_versions_draw_follows_the_file() -> None:
    slot = {"name": "first", "type": "LOAD_3D_ANIMATION", "link": None}
    assert read({"first": ["LOAD_3D_ANIMATION", {}]}, ["x"], inputs=[slot]) == {"last": "x"}
    assert read({"first": ["LOAD_3D_ANIMATION", {}]}, ["", "x"], inputs=[slot | {"widget": {}}])["last"] == "x"


def test_buttons_between_the_values_of_a_model_in_space() -> None:
    values = ["a.glb", "upload3dmodel", "uploadExtraResources", "clear", "", "x"]
    found = read({"file": [["a.glb"], {"file_upload": True}], "image": ["LOAD_3D", {}]}, values)
    assert found == {"file": "a.glb", "image": "", "last": "x"}


def test_what_only_shows_something_is_sent_when_it_is_required() -> None:
    assert read({"view": ["IMAGECOMPARE", {}]}, ["x"]) == {"view": {"__value__": ["", ""]}, "last": "x"}
