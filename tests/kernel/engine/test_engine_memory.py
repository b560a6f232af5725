"""Values are let go as soon as nobody will read them."""

from __future__ import annotations

import asyncio
import weakref
from typing import Annotated

from comfykernel_sdk.graph import Graph
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.scheduler import Assignment
from comfykernel_sdk.settings import ExecutionSettings, Settings
from comfykernel_sdk.sockets import AnyValue, Int
from comfykernel_sdk.testing import GraphRunner


class Thing:
    """Something large."""


alive: dict[str, weakref.ref[Thing]] = {}
seen: dict[str, list[str]] = {}


@node("Make")
def make(name: str) -> AnyValue:
    thing = Thing()
    alive[name] = weakref.ref(thing)
    return thing


@node("Use")
def use(thing: AnyValue, name: str, other: AnyValue = None) -> AnyValue:
    seen[name] = sorted(key for key, reference in alive.items() if reference() is not None)
    made = Thing()
    alive[name] = weakref.ref(made)
    return made


@node("Choose")
class Choose:
    def check_lazy(self, which: int) -> list[str]:
        return [f"in{which}"]

    def run(self, which: int, in0: Annotated[int, Int(lazy=True)], in1: Annotated[int, Int(lazy=True)]) -> AnyValue:
        return None


@node("End", output_node=True)
def end(thing: AnyValue) -> Result[None]:
    seen["end"] = sorted(key for key, reference in alive.items() if reference() is not None)
    return Result(ui={"done": [True]})


def run(graph: Graph, cache: str = "none") -> GraphRunner:
    alive.clear()
    seen.clear()
    execution = ExecutionSettings(cache=cache)  # type: ignore[arg-type]
    runner = GraphRunner([make, use, Choose, end], settings=Settings(execution=execution))
    assignment = Assignment(prompt_id="p", graph=graph, outputs_to_execute=["end"])
    # Not by the runner's own run: that keeps the values for the test.
    assert asyncio.run(runner.engine.run(assignment, lambda event: None)).status == "done"
    return runner


CHAIN: Graph = {
    "a": {"class_type": "Make", "inputs": {"name": "a"}},
    "b": {"class_type": "Use", "inputs": {"name": "b", "thing": ["a", 0]}},
    "c": {"class_type": "Use", "inputs": {"name": "c", "thing": ["b", 0]}},
    "d": {"class_type": "Use", "inputs": {"name": "d", "thing": ["c", 0], "other": ["a", 0]}},
    "end": {"class_type": "End", "inputs": {"thing": ["d", 0]}},
}


def test_without_cache_a_value_lives_until_its_last_reader_has_run() -> None:
    run(CHAIN)
    assert seen == {"b": ["a"], "c": ["a", "b"], "d": ["a", "c"], "end": ["d"]}


def test_the_cache_keeps_values() -> None:
    runner = run(CHAIN, "classic")
    assert seen["end"] == ["a", "b", "c", "d"]
    runner.engine.free(unload_models=False, free_memory=True)
    assert [name for name, reference in alive.items() if reference() is not None] == []


def test_a_lazy_input_that_nobody_wants_does_not_hold_its_sources() -> None:
    run(
        {
            "a": {"class_type": "Make", "inputs": {"name": "a"}},
            "b": {"class_type": "Use", "inputs": {"name": "b", "thing": ["a", 0]}},
            "unused": {"class_type": "Use", "inputs": {"name": "unused", "thing": ["a", 0]}},
            "choose": {"class_type": "Choose", "inputs": {"which": 0, "in0": ["b", 0], "in1": ["unused", 0]}},
            "c": {"class_type": "Use", "inputs": {"name": "c", "thing": ["choose", 0]}},
            "end": {"class_type": "End", "inputs": {"thing": ["c", 0]}},
        }
    )
    assert seen == {"b": ["a"], "c": [], "end": ["c"]}


def test_a_long_chain_needs_no_deep_stack() -> None:
    graph: Graph = {"0": {"class_type": "Make", "inputs": {"name": "a"}}}
    for number in range(1, 3000):
        graph[str(number)] = {"class_type": "Use", "inputs": {"name": "b", "thing": [str(number - 1), 0]}}
    graph["end"] = {"class_type": "End", "inputs": {"thing": ["2999", 0]}}
    run(graph)
