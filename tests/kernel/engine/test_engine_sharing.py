"""What nodes are handed of values that others hold too: containers anew, arrays untouched or as copies."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pytest
import torch

from comfykernel_sdk.graph import Graph
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.settings import ExecutionSettings, Settings
from comfykernel_sdk.sockets import AnyValue, Out, PromptGraph
from comfykernel_sdk.testing import GraphRun, GraphRunner

Policy = Literal["classic", "lru", "none", "ram"]
POLICIES: tuple[Policy, ...] = ("classic", "lru", "none", "ram")


@node("Make")
def make(kind: str) -> AnyValue:
    return {
        "dict": lambda: {"samples": [1, {"deep": [2]}], "pair": (3, [4])},
        "tensor": lambda: torch.ones(2),
        "in a dict": lambda: {"samples": torch.ones(2)},
        "view": lambda: torch.ones(4)[:2],
        "array": lambda: np.ones(2),
        "inference": inference_tensor,
    }[kind]()


def inference_tensor() -> torch.Tensor:
    with torch.inference_mode():
        return torch.ones(2)


def spoil(value: object) -> object:
    if isinstance(value, dict):
        for item in value.values():
            spoil(item)
        value.clear()
    elif isinstance(value, list):
        for item in value:
            spoil(item)
        value.append("spoilt")
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        value *= 2
    return value


@node("Spoil")
def spoiling(value: AnyValue) -> AnyValue:
    return spoil(value)


@node("SpoilCopy", changes_inputs=True)
def spoiling_copies(value: AnyValue) -> AnyValue:
    return spoil(value)


@node("SpoilLater", changes_inputs=True)
async def spoiling_later(value: AnyValue) -> AnyValue:
    return spoil(value)


@node("First")
def first(value: AnyValue, after: AnyValue) -> AnyValue:
    """Read a value after another node has run."""
    return value


@node("Show", output_node=True)
def show(value: AnyValue) -> Result[None]:
    return Result(ui={"text": [repr(value)]})


@node("Rows")
def rows() -> Annotated[list[AnyValue], Out(is_list=True)]:
    row = [1]
    return [row, row]


@node("SpoilPrompt", output_node=True)
def spoil_prompt(prompt: PromptGraph, value: AnyValue) -> Result[None]:
    prompt.clear()
    value.append("spoilt")  # type: ignore[attr-defined]
    return Result(ui={"text": [repr(value)]})


NODES = (make, spoiling, spoiling_copies, spoiling_later, first, show, rows, spoil_prompt)


def runner(policy: Policy) -> GraphRunner:
    return GraphRunner(NODES, settings=Settings(execution=ExecutionSettings(cache=policy, cache_size=10)))


def graph(kind: str, spoiler: str) -> Graph:
    return {
        "make": {"class_type": "Make", "inputs": {"kind": kind}},
        "spoil": {"class_type": spoiler, "inputs": {"value": ["make", 0]}},
        "first": {"class_type": "First", "inputs": {"value": ["make", 0], "after": ["spoil", 0]}},
        "show": {"class_type": "Show", "inputs": {"value": ["first", 0]}},
    }


def text(run: GraphRun) -> object:
    assert run.status == "done", run.error
    return run.ui["show"]["text"][0]  # type: ignore[index]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("spoiler", ["Spoil", "SpoilCopy", "SpoilLater"])
def test_changed_containers_are_the_nodes_own(policy: Policy, spoiler: str) -> None:
    house = runner(policy)
    for _ in range(2):
        assert text(house.run(graph("dict", spoiler))) == "{'samples': [1, {'deep': [2]}], 'pair': (3, [4])}"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("spoiler", ["SpoilCopy", "SpoilLater"])
@pytest.mark.parametrize("kind", ["tensor", "in a dict", "view", "array"])
def test_a_node_that_says_so_changes_copies(policy: Policy, spoiler: str, kind: str) -> None:
    house = runner(policy)
    for _ in range(2):
        assert "1., 1." in str(text(house.run(graph(kind, spoiler))))


@pytest.mark.parametrize("kind", ["tensor", "in a dict", "view"])
def test_a_node_that_does_not_say_so_fails_and_what_it_spoilt_is_forgotten(kind: str) -> None:
    house = runner("classic")
    run = house.run(graph(kind, "Spoil"))
    assert run.error is not None
    assert (run.error.node_id, run.error.exception_type.rpartition(".")[2]) == ("spoil", "ChangedInput")
    assert "changed its input 'value' in place" in run.error.exception_message
    again = house.run(graph(kind, "SpoilCopy"))
    assert "make" in again.ran
    assert "1., 1." in str(text(again))


def test_tensors_that_can_not_be_changed_are_no_trouble() -> None:
    run = runner("classic").run(graph("inference", "Spoil"))
    assert run.error is not None
    assert run.error.exception_type == "RuntimeError"
    assert text(runner("classic").run(graph("inference", "SpoilCopy"))) == "tensor([1., 1.])"


def test_who_holds_an_array_alone_may_change_it() -> None:
    seen: list[object] = []

    @node("Keep")
    def keep() -> AnyValue:
        seen.append(torch.ones(2))
        return seen[-1]

    alone: Graph = {
        "make": {"class_type": "Keep", "inputs": {}},
        "spoil": {"class_type": "SpoilCopy", "inputs": {"value": ["make", 0]}},
        "show": {"class_type": "Show", "inputs": {"value": ["spoil", 0]}},
    }
    house = GraphRunner([*NODES, keep], settings=Settings(execution=ExecutionSettings(cache="none")))
    assert text(house.run(alone)) == "tensor([2., 2.])"
    assert seen[0].tolist() == [2.0, 2.0]  # type: ignore[attr-defined]


def test_the_prompt_and_constants_are_the_nodes_own() -> None:
    both: Graph = {id: {"class_type": "SpoilPrompt", "inputs": {"value": {"__value__": [1]}}} for id in ("1", "2")}
    house = runner("none")
    for _ in range(2):
        run = house.run(both)
        assert {id: ui["text"] for id, ui in run.ui.items()} == {"1": ["[1, 'spoilt']"], "2": ["[1, 'spoilt']"]}


def test_items_of_a_list_are_the_nodes_own() -> None:
    mapped: Graph = {
        "rows": {"class_type": "Rows", "inputs": {}},
        "spoil": {"class_type": "Spoil", "inputs": {"value": ["rows", 0]}},
        "show": {"class_type": "Show", "inputs": {"value": ["spoil", 0]}},
    }
    run = runner("classic").run(mapped)
    assert run.ui["show"]["text"] == ["[1, 'spoilt']", "[1, 'spoilt']"]


def test_a_list_that_holds_itself_is_handed_over() -> None:
    @node("Ring")
    def ring() -> AnyValue:
        made: list[object] = [1]
        made.append(made)
        return made

    around: Graph = {
        "ring": {"class_type": "Ring", "inputs": {}},
        "show": {"class_type": "Show", "inputs": {"value": ["ring", 0]}},
    }
    run = GraphRunner([ring, show]).run(around)
    assert run.ui["show"]["text"] == ["[1, [...]]"]
