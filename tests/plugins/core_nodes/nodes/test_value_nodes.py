"""Primitives, choices, lists and the preview of any value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from comfykernel_core_nodes.nodes.logic import cameras, choices, lists, primitives
from comfykernel_core_nodes.nodes.logic.preview import described
from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.testing import run_graph


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


def result_of(graph: dict[str, Any], node: str, output: int = 0) -> list[Any]:
    ran = run_graph(graph, nodes=core_pack().nodes.values(), outputs=[node])
    assert ran.exception is None
    assert ran.status == "done", ran.error
    return ran.outputs[node][output]


def test_primitives_give_what_they_hold() -> None:
    assert primitives.primitive_int(-(2**63) + 1) == -(2**63) + 1
    assert primitives.primitive_float(0.5) == 0.5
    assert primitives.primitive_boolean(True) is True
    assert primitives.primitive_string("a") == primitives.primitive_string_multiline("a") == "a"


@pytest.mark.parametrize("switch", [True, False])
def test_switch_never_runs_the_other_side(switch: bool) -> None:
    failing = {"class_type": "ComfyMathExpression", "inputs": {"expression": "1/0", "values.a": 1}}
    good = {"class_type": "PrimitiveInt", "inputs": {"value": 4}}
    sides = {"on_true": ["good", 0], "on_false": ["bad", 1]}
    if not switch:
        sides = {"on_true": ["bad", 1], "on_false": ["good", 0]}
    graph = {
        "good": good,
        "bad": failing,
        "1": {"class_type": "ComfySwitchNode", "inputs": {"switch": switch, **sides}},
    }
    assert result_of(graph, "1") == [4]


def test_switch_without_the_chosen_side_gives_nothing() -> None:
    assert result_of({"1": {"class_type": "ComfySwitchNode", "inputs": {"switch": True, "on_false": ["2", 0]}},
                      "2": {"class_type": "PrimitiveInt", "inputs": {"value": 4}}}, "1") == [None]  # fmt: skip


def test_lists_are_joined_and_run_through_one_by_one() -> None:
    graph = {
        "a": {"class_type": "PrimitiveString", "inputs": {"value": "x"}},
        "b": {"class_type": "PrimitiveString", "inputs": {"value": "yy"}},
        "list": {"class_type": "CreateList", "inputs": {"inputs.input0": ["a", 0], "inputs.input2": ["b", 0]}},
        "more": {"class_type": "CreateList", "inputs": {"inputs.input0": ["list", 0], "inputs.input1": ["a", 0]}},
        "length": {"class_type": "StringLength", "inputs": {"string": ["more", 0]}},
        "item": {"class_type": "GetItemFromList", "inputs": {"list": ["more", 0], "index": 1}},
    }
    assert result_of(graph, "length") == [1, 2, 1]
    assert result_of(graph, "item") == ["yy"]


def test_item_that_is_not_there() -> None:
    assert lists.get_item_from_list(["a", "b"], [-2]) == "a"
    with pytest.raises(BadInput, match="has 2 items"):
        lists.get_item_from_list(["a", "b"], [2])


def test_choice_of_the_page_lets_every_text_through(run: Any) -> None:
    assert run.node("CustomCombo", choice="whatever", index=2) == ("whatever", 2)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("12", (12.0, 12)),
        (" -0.9 ", (-0.9, 0)),
        ("1e3", (1000.0, 1000)),
        (True, (1.0, 1)),
        (2.7, (2.7, 2)),
        (7, (7.0, 7)),
    ],
)
def test_numbers(value: object, want: tuple[float, int]) -> None:
    assert choices.number_convert(value) == want  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", "abc", "inf", "nan", float("inf"), "9" * 400])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(BadInput) as error:
        choices.number_convert(value)  # type: ignore[arg-type]
    assert error.value.type == "not_a_number"


def test_colours() -> None:
    assert choices.color_to_rgb_int("#FF5733") == (0xFF5733, "#FF5733", 1.0)
    assert choices.color_to_rgb_int("#ff573300") == (0xFF5733, "#ff5733", 0.0)
    for text in ("red", "#12345", "#12345g", "", "#１２３４５６"):
        with pytest.raises(BadInput, match="is no colour"):
            choices.color_to_rgb_int(text)


def test_any_value_as_text() -> None:
    assert [described(value) for value in ("a", None, True, 0.5, [1, {"b": None}])] == [
        "a", "None", "True", "0.5", '[1, {"b": null}]'
    ]  # fmt: skip
    assert described(torch.zeros(1)) == "tensor([0.])"
    assert "object" in described(object())


def test_camera_in_words_and_numbers(run: Any) -> None:
    camera, words = cameras.camera_angle(90, 50, 10.0)
    assert words == "right side view high-angle shot close-up"
    assert camera["zoom"] == pytest.approx(1.875)
    camera, words = cameras.camera_angle(350, -30, 0.0)
    assert words == "front view low-angle shot wide shot"
    position = run.node(
        "CreateCameraInfo", mode="orbit", **{"mode.yaw": 90.0, "mode.pitch": 0.0, "mode.distance": 2.0}
    )["position"]
    assert position == pytest.approx({"x": 2.0, "y": 0.0, "z": 0.0}, abs=1e-9)


def test_camera_that_is_turned_looks_along_minus_z(run: Any) -> None:
    place = {"mode.position_x": 1.0, "mode.position_y": 2.0, "mode.position_z": 3.0}
    turn = {"mode.quat_x": 0.0, "mode.quat_y": 0.0, "mode.quat_z": 0.0, "mode.quat_w": 0.5}
    assert run.node("CreateCameraInfo", mode="quaternion", **place, **turn)["target"] == {"x": 1.0, "y": 2.0, "z": 2.0}
    with pytest.raises(BadInput, match="quaternion is zero"):
        run.node("CreateCameraInfo", mode="quaternion", **place, **{**turn, "mode.quat_w": 0.0})
