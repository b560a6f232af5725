"""Choices and comments in prompts, places in the names of files."""

from __future__ import annotations

from datetime import datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_ui_workflows.texts import fill_places, resolve_choices

from .drawing import Drawing, inputs

NOON = datetime(2024, 3, 5, 12, 4, 9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a /* not\nthis */ b // nor this\nc", "a  b \nc"),
        ("see http://x.y/z", "see http:"),
        ("{only}", "only"),
        ("{}", ""),
        ("{{{deep}}}", "deep"),
        (r"\{a\|b\} \(c:1.2\) \\ \n", r"{a|b} \(c:1.2\) \\ \n"),
        ("a | b } c", "a | b } c"),
        ("an {open", "an open"),
        ("", ""),
    ],
)
def test_a_text_without_a_choice(text: str, expected: str) -> None:
    assert resolve_choices(text, Random(1)) == expected


def test_each_choice_comes_and_choices_nest() -> None:
    found = {resolve_choices("a {red|{light|dark} blue|} sky", Random(seed)) for seed in range(60)}
    assert found == {"a red sky", "a light blue sky", "a dark blue sky", "a  sky"}


def test_the_seed_decides() -> None:
    drawing = Drawing().node(1, "Encode", ["{a|b|c|d|e|f|g|h}{a|b|c|d|e|f|g|h}"])
    assert inputs(drawing, "1", seed=5) == inputs(drawing, "1", seed=5)
    assert len({inputs(drawing, "1", seed=seed)["text"] for seed in range(20)}) > 5
    assert len({inputs(drawing, "1")["text"] for _ in range(20)}) > 1


@given(st.text(alphabet="ab{}|\\/*\n", max_size=60), st.integers())
def test_any_text_has_an_end_and_no_choice_is_left_open(text: str, seed: int) -> None:
    found = resolve_choices(text, Random(seed))
    assert len(found) <= len(text)
    if "\\" not in text:
        assert "{" not in found


def test_deeply_nested_choices_are_no_matter_of_the_stack() -> None:
    assert resolve_choices("{" * 50_000 + "x" + "}" * 50_000, Random(0)) == "x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%date:yyyy-MM-dd%/%date:h_mm_s%", "2024-03-05/12_04_9"),
        ("%date:yy M d hh ss%", "24 3 5 12 09"),
        ("%Paint.width%_%Paint.flag%_%Paint.share%", "64_true_2"),
        ("%Paint.path%", "a_b_c"),
        ("%Paint.gone%_%Gone.width%_%width%_%year%", "%Paint.gone%_%Gone.width%_%width%_%year%"),
        ("100%", "100%"),
    ],
)
def test_places_in_the_name_of_a_file(text: str, expected: str) -> None:
    values = {"width": "64", "flag": "true", "share": "2", "path": "a/b:c"}
    assert fill_places(text, NOON, lambda node, widget: values.get(widget) if node == "Paint" else None) == expected


def test_a_place_names_a_node_by_its_search_name_or_its_title() -> None:
    drawing = (
        Drawing().node(1, "Paint", [64], title="Sky").node(2, "Paint", [65], properties={"Node name for S&R": "Sea"})
    )
    drawing.node(3, "Save", ["%Sky.width%_%Sea.width%_%Paint It.width%_%Sky.nothing%"])
    assert inputs(drawing, "3")["filename_prefix"] == "64_65_65_%Sky.nothing%"


def test_a_value_that_comes_over_a_link_fills_no_place() -> None:
    drawing = Drawing().node(1, "Number", [3]).node(2, "Paint", [64], title="Sky").node(3, "Save", ["%Sky.width%"])
    assert inputs(drawing.wire(1, 2, "width", widget=True), "3")["filename_prefix"] == "%Sky.width%"
