"""Parts of a graph that are repeated."""

from __future__ import annotations

from typing import Any

import pytest

from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.nodes import Blocker
from comfykernel_sdk.testing import GraphRun, run_graph

Node = dict[str, Any]
Graph = dict[str, Node]
Link = list[Any]

ONE = {"class_type": "PrimitiveInt", "inputs": {"value": 1}}


def start(
    mode: str = "simple", *, outer: list[Any] | None = None, first: object = None, **values: object
) -> dict[str, Any]:
    inputs: dict[str, object] = {"mode": mode, "cache_iterations": False, **{f"mode.{n}": v for n, v in values.items()}}
    inputs |= {} if outer is None else {"parent_iteration": outer}
    inputs |= {} if first is None else {"initial_iteration_value": first}
    return {"class_type": "StartLoop", "inputs": inputs}


def end(
    value: list[Any], *, carried: list[Any] | None = None, everything: bool = True, **more: object
) -> dict[str, Any]:
    inputs: dict[str, object] = {"output_value": value, "accumulate": everything, **more}
    return {"class_type": "EndLoop", "inputs": inputs | ({} if carried is None else {"next_iteration_value": carried})}


def formula(expression: str, **values: object) -> Node:
    inputs = {"expression": expression, **{f"values.{name}": value for name, value in values.items()}}
    return {"class_type": "ComfyMathExpression", "inputs": inputs}


def run(graph: Graph, node: str = "end") -> GraphRun:
    return run_graph(graph, nodes=core_pack().nodes.values(), outputs=[node])


def result(graph: Graph, node: str = "end") -> list[Any]:
    ran = run(graph, node)
    assert ran.status == "done", ran.error
    return ran.outputs[node][0]


def doubling(times: int, *, everything: bool) -> Graph:
    return {
        "one": ONE,
        "start": start(num_iterations=times, first=["one", 0]),
        "twice": formula("a * 2", a=["start", 4]),
        "end": end(["twice", 1], carried=["twice", 1], everything=everything),
    }


def test_a_value_is_carried_on() -> None:
    assert result(doubling(5, everything=True)) == [2, 4, 8, 16, 32]
    assert result(doubling(150, everything=False)) == [2**150]
    assert result(doubling(1, everything=True)) == [2]


def test_without_an_iteration_nothing_runs() -> None:
    (value,) = result(doubling(0, everything=True))
    assert isinstance(value, Blocker)


def test_index_first_and_last() -> None:
    graph = {
        "start": start("For", start_iteration_index=2, max_iteration=9, step=3),
        "told": formula("a + b * 100 + c * 1000", a=["start", 0], b=["start", 1], c=["start", 2]),
        "end": end(["told", 1]),
    }
    assert result(graph) == [102, 5, 1008]


def test_items_of_a_list() -> None:
    graph = {
        "a": {"class_type": "PrimitiveString", "inputs": {"value": "x"}},
        "b": {"class_type": "PrimitiveString", "inputs": {"value": "yyy"}},
        "list": {"class_type": "CreateList", "inputs": {"inputs.input0": ["a", 0], "inputs.input1": ["b", 0]}},
        "start": start("List", list=["list", 0]),
        "length": {"class_type": "StringLength", "inputs": {"string": ["start", 3]}},
        "end": end(["length", 0]),
    }
    assert result(graph) == [1, 3]


def test_loops_in_loops_and_after_each_other() -> None:
    nested = {
        "outer": start(num_iterations=3),
        "inner": start(num_iterations=2, outer=["outer", 0]),
        "cell": formula("a * 10 + b", a=["outer", 0], b=["inner", 0]),
        "row": end(["cell", 1]),
        "end": end(["row", 0]),
    }
    assert result(nested) == [0, 1, 10, 11, 20, 21]
    after = doubling(3, everything=False) | {
        "again": start(num_iterations=2, first=["end", 0]),
        "sum": formula("a + b", a=["again", 4], b=["end", 0]),
        "all": end(["sum", 1], carried=["sum", 1]),
    }
    assert result(after, "all") == [16, 24]


def test_number_of_iterations_may_be_calculated_and_values_forced() -> None:
    graph = {
        "one": ONE,
        "times": formula("a + 1", a=["one", 0]),
        "start": start(num_iterations=["times", 1]),
        "index": formula("a", a=["start", 0]),
        "failing": formula("1 / (1 - a)", a=["start", 0]),
        "end": end(["index", 1]),
    }
    assert result(graph) == [0, 1]
    graph["end"] = end(["index", 1], **{"terminations.termination0": ["failing", 0]})
    assert run(graph).status == "failed"


TWO_STARTS = {
    "a": start(num_iterations=2),
    "b": start(num_iterations=2),
    "sum": formula("a + b", a=["a", 0], b=["b", 0]),
    "end": end(["sum", 1]),
}
ENDLESS = start("For", start_iteration_index=0, max_iteration=3, step=0)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"one": ONE, "end": end(["one", 0])}, "0 Start Loop nodes lead to this End Loop"),
        (TWO_STARTS, "2 Start Loop nodes"),
        (doubling(10**9, everything=True), "are too many"),
        ({**doubling(2, everything=True), "start": ENDLESS}, "step of a loop is 0"),
    ],
)
def test_loops_that_make_no_sense(graph: Graph, message: str) -> None:
    ran = run(graph)
    assert ran.status == "failed"
    assert message in str(ran.error)
