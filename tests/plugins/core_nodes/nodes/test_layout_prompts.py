"""Drawn rectangles in prompts: the table's form, texts in it, and what is no element."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from comfykernel_sdk.errors import BadInput

TREE = {"type": "obj", "bbox": [0, 0, 500.4, 1000], "desc": "ein Bäumchen", "color_palette": ["#fff"]}
SIGN = {"type": "text", "bbox": [600, 100, 700, 900], "text": "OPEN LATE", "desc": "thin serif letters"}


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


def test_the_table_follows_the_prompt(run: Any) -> None:
    made = run.node("Flux3LayoutPrompt", prompt="A garden <obj_1> with a sign <obj_2>.\n", element=[TREE, SIGN])
    caption, table = made[: made.index("[")], json.loads(made[made.index("[") :])
    assert caption == "A garden <obj_1> with a sign <obj_2>. "
    assert table == [
        {"id": "obj_1", "bbox": [0, 0, 500, 1000], "desc": "ein Bäumchen"},
        {"id": "obj_2", "bbox": [600, 100, 700, 900], "desc": 'Text reading "OPEN LATE", thin serif letters'},
    ]
    assert "Bäumchen" in made


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"desc": ""}, 'Text reading "OPEN LATE"'),
        ({"desc": 'a sign that says "OPEN LATE"'}, 'a sign that says "OPEN LATE"'),
        ({"text": ""}, "thin serif letters"),
        ({"type": "obj"}, "thin serif letters"),
        ({"desc": None, "text": None}, ""),
    ],
)
def test_texts_stand_quoted_in_the_description_once(run: Any, changes: dict[str, object], expected: str) -> None:
    made = run.node("Flux3LayoutPrompt", prompt="", element={**SIGN, **changes})
    assert json.loads(made) == [{"id": "obj_1", "bbox": [600, 100, 700, 900], "desc": expected}]


def test_without_elements_the_prompt_stays_as_it_is(run: Any) -> None:
    assert run.node("Flux3LayoutPrompt", prompt=" a dog\n", element=[]) == " a dog\n"


@pytest.mark.parametrize(
    "element", ["x", [1], [{}], [{"bbox": [1, 2, 3]}], [{"bbox": [1, 2, 3, "4"]}], [{"bbox": [1, 2, 3, float("inf")]}]]
)
def test_what_is_no_element_is_said(run: Any, element: object) -> None:
    with pytest.raises(BadInput, match="is no element"):
        run.node("Flux3LayoutPrompt", prompt="", element=element)


def test_drawn_boxes_fit(run: Any) -> None:
    drawn = {"x": 0, "y": 64, "width": 64, "height": 64, "metadata": {"type": "obj", "desc": "a cat"}}
    _, _, elements = run.node("CreateBoundingBoxes", width=128, height=128, editor_state=[drawn], last_incoming=[])
    made = run.node("Flux3LayoutPrompt", prompt="<obj_1>", element=elements)
    assert made == '<obj_1> [{"id": "obj_1", "bbox": [500, 0, 1000, 500], "desc": "a cat"}]'
