"""Whole workflows: what the official page makes of them, and the form of the prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfykernel_sdk.nodes import InputSpec, NodeSpec, Replacement
from comfykernel_ui_workflows.object_info import specs_of
from comfykernel_ui_workflows.reader import EditorReader

from .drawing import SPECS, Drawing, inputs, prompt

RECORDED = json.loads((Path(__file__).parent / "page_prompts.json").read_text())
"""Documents, and the prompts that the named versions of the official page made of them."""


@pytest.mark.parametrize("name", RECORDED["cases"])
def test_the_prompt_is_that_of_the_page(name: str) -> None:
    case = RECORDED["cases"][name]
    assert prompt(case["document"], specs=specs_of(RECORDED["object_info"])) == case["prompt"]


def test_links_become_node_and_output_and_titles_stay() -> None:
    drawing = Drawing().node(3, "Paint", [64, 7, "fixed"], title="Sky").node(12, "Save", ["s"]).wire(3, 12, "images")
    assert EditorReader().convert(drawing.document(), SPECS).graph == {
        "3": {"class_type": "Paint", "inputs": {"width": 64, "seed": 7, "colour": "red"}, "_meta": {"title": "Sky"}},
        "12": {
            "class_type": "Save",
            "inputs": {"filename_prefix": "s", "images": ["3", 0]},
            "_meta": {"title": "Save"},
        },
    }  # fmt: skip


def test_a_node_without_title_is_called_by_its_display_name() -> None:
    graph = EditorReader().convert(Drawing().node(1, "Paint").document(), SPECS).graph
    assert graph["1"]["_meta"] == {"title": "Paint It"}


def test_nodes_with_numbers_come_first_in_their_order() -> None:
    drawing = Drawing().node(10, "Number").node("b", "Number").node(9, "box").node(2, "Number")
    drawing.holding(Drawing(definition="box").node(5, "Number"))
    assert list(prompt(drawing)) == ["2", "10", "b", "9:5"]


@pytest.mark.parametrize("objects", [True, False])
def test_links_are_read_in_both_of_their_forms(objects: bool) -> None:
    drawing = Drawing(definition="x" if objects else "").node(1, "Paint").node(2, "Turn").wire(1, 2, "image")
    assert isinstance(drawing.links[0], dict) is objects
    assert inputs(drawing, "2") == {"image": ["1", 0]}


def test_an_input_without_name_is_known_by_its_widget() -> None:
    drawing = Drawing().node(1, "Number").node(2, "Paint").wire(1, 2, "width", type="INT", widget=True)
    del drawing.nodes[1]["inputs"][0]["name"]
    assert inputs(drawing, "2")["width"] == ["1", 0]


def test_what_the_document_has_besides_is_ignored() -> None:
    drawing = Drawing().node(1, "Paint", [1, 2, "fixed", "green"], order="?", pos={"0": 1}, flags=[1], outputs=None)
    document = {**drawing.document(), "groups": 3, "extra": {"ds": []}, "config": None, "version": "new"}
    assert inputs(document, "1") == {"width": 1, "seed": 2, "colour": "green"}
    assert document["groups"] == 3


def test_the_document_is_not_changed() -> None:
    for case in RECORDED["cases"].values():
        before = json.dumps(case["document"])
        prompt(case["document"], specs=specs_of(RECORDED["object_info"]))
        assert json.dumps(case["document"]) == before


@pytest.mark.parametrize("type", ["Note", "MarkdownNote"])
def test_notes_are_left_out(type: str) -> None:
    assert prompt(Drawing().node(1, type, ["read me"])) == {}


def test_a_node_that_is_replaced_keeps_its_name_and_reads_its_own_widgets() -> None:
    drawing = Drawing().node(1, "OldPaint", [64, "red"])
    gone = Replacement(old="OldPaint", new="Paint", inputs={"width": "size"}, widgets=["size", "colour"])
    assert prompt(drawing, replacements=[gone]) == {
        "1": {"class_type": "OldPaint", "inputs": {"size": 64, "colour": "red"}}
    }


def test_nodes_that_are_not_installed_are_told_when_asked_to_be_lenient() -> None:
    drawing = Drawing().node(1, "KSampler", [5, "randomize", 20, 8, "euler", "normal", 1]).node(2, "Mine", [3, "x"])
    drawing.node(3, "Named", widgets_values_named={"a": 1}).nodes[1]["inputs"] = [
        {"name": "size", "type": "INT", "link": None, "widget": {"name": "size"}}
    ]
    done = EditorReader().convert(drawing.document(), SPECS, lenient=True)
    assert done.missing == ["KSampler", "Mine", "Named"]
    found: dict[str, Any] = {id: node["inputs"] for id, node in done.graph.items()}
    assert found == {
        "1": {"seed": 5, "steps": 20, "cfg": 8, "sampler_name": "euler", "scheduler": "normal", "denoise": 1},
        "2": {"size": 3},
        "3": {"a": 1},
    }


def test_specs_of_the_catalog_are_read_like_those_of_object_info() -> None:
    spec = NodeSpec(
        id="Load", inputs=[InputSpec(name="file", type="COMBO", source="input", options={"image_upload": True})]
    )
    assert inputs(Drawing().node(1, "Load", ["a.png", "image"]), "1", specs={"Load": spec}) == {"file": "a.png"}
    assert inputs(Drawing().node(1, "Load"), "1", specs={"Load": spec}) == {}
