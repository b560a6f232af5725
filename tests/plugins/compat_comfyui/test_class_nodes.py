"""Nodes written as classes: what clients see of them, and what happens when they run."""

from __future__ import annotations

from typing import Any

import pytest
from tests.plugins.compat_comfyui.conftest import LoadedPacks, LoadPacks

from comfykernel.catalog import CatalogKeeper
from comfykernel_compat_comfyui.class_nodes.results import WrongReturnValue
from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.events import NodeProgress
from comfykernel_sdk.jobs import PromptRequest
from comfykernel_sdk.testing import MemoryStorage, kernel_in_memory


@pytest.fixture
def packs(load_packs: LoadPacks) -> LoadedPacks:
    return load_packs("class_pack")


def shown(packs: LoadedPacks, name: str) -> dict[str, Any]:
    """A node as object_info shows it."""
    from pathlib import Path

    keeper = CatalogKeeper(MemoryStorage(), Path(packs.settings.paths.base), "")
    return keeper.node_info(packs.nodes[name].spec)


def test_an_interface_is_shown_as_declared(packs: LoadedPacks) -> None:
    assert shown(packs, "Echo") == {
        "input": {"required": {"value": ["STRING", {"default": "", "multiline": True}]}},
        "input_order": {"required": ["value"]},
        "output": ["STRING"], "output_is_list": [False], "output_name": ["STRING"],
        "name": "Echo", "display_name": "Echo a text", "description": "Gives the value.",
        "python_module": "custom_nodes.class_pack", "category": "class pack", "output_node": False,
    }  # fmt: skip


def test_what_a_spec_cannot_say_is_shown_all_the_same(packs: LoadedPacks) -> None:
    odd = shown(packs, "NoFunction")
    assert odd["input"] == {
        "required": {"x": ["FLOAT", {"default": 1.0, "step": 0.1, "odd": [1]}]},
        "extra": {"y": ["INT"]},
    }
    assert odd["input_order"] == {"required": ["x"], "extra": ["y"]}
    assert odd["output_name"] == ["a", "b", "c"]
    assert odd["category"] == "sd"
    assert shown(packs, "Show")["input"]["required"] == {"value": ["*"]}
    assert shown(packs, "TakesEither")["input"]["required"] == {"value": ["PICTURE"]}
    assert shown(packs, "Variadic")["input"] == {"required": {}, "optional": {}}


async def refused(packs: LoadedPacks, graph: dict[str, Any]) -> dict[str, Any]:
    """Errors by node of a prompt."""
    nodes = {id: {"class_type": name, "inputs": inputs} for id, (name, inputs) in graph.items()}
    async with kernel_in_memory(packs.nodes.values()) as kernel:
        try:
            await kernel.submit(PromptRequest(graph=nodes))
        except InvalidPrompt as error:
            return error.node_errors
    return {}


async def test_types_are_compared_by_the_objects_of_the_pack(packs: LoadedPacks) -> None:
    text = {"1": ("Echo", {"value": "a"}), "2": ("Show", {"value": ["1", 0]})}
    assert await refused(packs, text) == {}
    either = {
        "1": ("Echo", {"value": "a"}),
        "2": ("TakesEither", {"value": ["1", 0]}),
        "3": ("Show", {"value": ["2", 0]}),
    }
    errors = await refused(packs, either)
    assert errors["2"]["errors"][0]["type"] == "return_type_mismatch"


@pytest.mark.parametrize(("number", "type"), [(13, "custom_validation_failed"), (4, ""), ("x", "invalid_input_type")])
async def test_validators_take_the_place_of_checks(packs: LoadedPacks, number: object, type: str) -> None:
    errors = await refused(packs, {"1": ("Checked", {"number": number, "other": 0})})
    assert [error["type"] for error in errors.get("1", {}).get("errors", [])] == ([type] if type else [])


def test_inputs_of_any_name(packs: LoadedPacks) -> None:
    inputs = {"zoom": 2, "text": ["1", 0]}
    run = packs.run({"1": ("Echo", {"value": "a"}), "2": ("Variadic", inputs), "3": ("Show", {"value": ["2", 0]})})
    assert run.ui["3"] == {"text": ["text=a,zoom=2"]}
    run = packs.run({"1": ("Echo", {"value": "a"}), "2": ("LinksOnly", inputs), "3": ("Show", {"value": ["2", 0]})})
    assert run.ui["3"] == {"text": ["text=a"]}


def test_lists(packs: LoadedPacks) -> None:
    graph = {
        "1": ("Echo", {"value": "a"}), "2": ("Joined", {"values": ["1", 0], "by": "-"}),
        "3": ("Show", {"value": ["2", 0]}), "4": ("Show", {"value": ["2", 1]}),
    }  # fmt: skip
    run = packs.run(graph)
    assert run.outputs["2"] == [["a"], ["a"]]


def test_lazy_inputs(packs: LoadedPacks) -> None:
    graph = {
        "1": ("Echo", {"value": "a"}), "2": ("Echo", {"value": "b"}),
        "3": ("Choose", {"first": False, "a": ["1", 0], "b": ["2", 0]}), "4": ("Show", {"value": ["3", 0]}),
    }  # fmt: skip
    run = packs.run(graph)
    assert run.value("3") == "None/b"
    assert "1" not in run.ran


def test_expansion(packs: LoadedPacks) -> None:
    run = packs.run({"1": ("Repeat", {"value": "a", "times": 3}), "2": ("Show", {"value": ["1", 0]})})
    assert run.value("1") == "a"
    assert [id for id in run.ran if id.startswith("1.")] == ["1.0.0.1", "1.0.0.2", "1.0.0.3"]


def test_a_coroutine_reports_progress(packs: LoadedPacks) -> None:
    run = packs.run({"1": ("Late", {"value": "a"}), "2": ("Show", {"value": ["1", 0]})})
    assert run.value("1") == "a"
    steps = [(e.value, e.max) for e in run.events if isinstance(e, NodeProgress) and e.announce == "progress"]
    assert steps == [(1, 2), (2, 2)]


def test_blockers(packs: LoadedPacks) -> None:
    graph = {
        "1": ("Blocks", {"message": ""}), "2": ("Show", {"value": ["1", 0]}), "3": ("Show", {"value": ["1", 1]}),
    }  # fmt: skip
    run = packs.run(graph)
    assert run.ui == {"3": {"text": ["on"]}}


def test_outputs_that_were_left_out_are_missed_by_those_who_use_them(packs: LoadedPacks) -> None:
    graph = {"1": ("LeavesOut", {}), "2": ("Show", {"value": ["1", 0]}), "3": ("Show", {"value": ["1", 1]})}
    run = packs.run(graph)
    assert run.ui == {"2": {"text": ["only one"]}}
    messages = [getattr(event, "exception_message", "") for event in run.events]
    assert any("LeavesOut returned 1 of its 2 outputs" in message for message in messages)


async def test_outputs_that_a_class_only_answers_for_may_be_linked(packs: LoadedPacks) -> None:
    assert shown(packs, "Spreads")["output"] == ["INT", "*"]
    assert shown(packs, "Spreads")["output_is_list"] == [False, False]
    graph = {"1": ("Spreads", {"text": "abc"}), "2": ("Show", {"value": ["1", 3]}), "3": ("Show", {"value": ["1", 9]})}
    assert await refused(packs, graph) == {}
    run = packs.run(graph)
    assert run.ui == {"2": {"text": ["c"]}}
    messages = [getattr(event, "exception_message", "") for event in run.events]
    assert any("Spreads returned 4 of" in message for message in messages)


def test_a_text_is_no_tuple(packs: LoadedPacks) -> None:
    run = packs.run({"1": ("NoTuple", {}), "2": ("Show", {"value": ["1", 0]})})
    assert isinstance(run.exception, WrongReturnValue)
    assert "NoTuple returned str where 1 output (STRING) is due." in str(run.exception)


def test_a_class_without_a_function_fails_when_it_runs(packs: LoadedPacks) -> None:
    run = packs.run({"1": ("NoFunction", {"x": 1.0}), "2": ("Show", {"value": ["1", 0]})})
    assert "FUNCTION names no method" in str(run.exception)


def test_change_tokens_see_constants(packs: LoadedPacks) -> None:
    from comfykernel_sdk.testing import GraphRunner

    runner = GraphRunner(packs.nodes.values())
    graph = {"1": {"class_type": "Checked", "inputs": {"number": 1, "other": 0}}}
    assert runner.run(graph).ran == ["1"]
    assert runner.run(graph).cached == ["1"]
    always = {"1": {"class_type": "Checked", "inputs": {"number": 1, "other": 1}}}
    assert runner.run(always).ran == ["1"]
    assert runner.run(always).ran == ["1"]
