"""Random graphs give what a naive evaluator gives, under every cache policy, and nothing runs twice or in vain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.graph import Graph, is_link, links_of
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.settings import ExecutionSettings, Settings
from comfykernel_sdk.sockets import Int, Out
from comfykernel_sdk.testing import GraphRunner

Policy = Literal["classic", "lru", "none", "ram"]
LazyInt = Annotated[int, Int(lazy=True)]
ran: list[str] = []


@node("Add")
def add(a: int, b: int, context: NodeContext) -> int:
    ran.append(context.node_id)
    return a + b


@node("AddLater")
async def add_later(a: int, b: int, context: NodeContext) -> int:
    ran.append(context.node_id)
    return 2 * a - b


@node("Row")
def row(a: int, b: int, context: NodeContext) -> Annotated[list[int], Out(is_list=True)]:
    ran.append(context.node_id)
    return [a + i for i in range(b % 3)]


@node("Sum", input_is_list=True)
def total(a: list[int], b: list[int], context: NodeContext) -> int:
    ran.append(context.node_id)
    return sum(a) * 3 + sum(b)


@node("Choose")
class Choose:
    def check_lazy(self, a: int | None, b: int | None, which: int) -> list[str]:
        return ["a" if which % 2 else "b"]

    def run(self, a: LazyInt, b: LazyInt, which: int, context: NodeContext) -> int:
        ran.append(context.node_id)
        return a if which % 2 else b


@node("Show", output_node=True)
def show(a: int, context: NodeContext) -> Result[None]:
    ran.append(context.node_id)
    return Result(ui={"a": [a]})


NODES = (add, add_later, row, total, Choose, show)
MAPPED = {"Add": lambda a, b: a + b, "AddLater": lambda a, b: 2 * a - b}


class Reference:
    """Evaluates by recursion, every value a list; notes what it needed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.needed: set[str] = set()
        self.known: dict[str, list[int]] = {}

    def of(self, id: str) -> list[int]:
        if id not in self.known:
            self.needed.add(id)
            inputs = self.graph[id]["inputs"]
            assert isinstance(inputs, dict)
            self.known[id] = self.evaluate(str(self.graph[id]["class_type"]), inputs)
        return self.known[id]

    def evaluate(self, kind: str, inputs: dict[str, Json]) -> list[int]:
        if kind == "Choose":
            which = self.input(inputs["which"])
            wanted = {"a" if each % 2 else "b" for each in which}
            sides = {name: self.input(inputs[name]) if name in wanted else [0] for name in ("a", "b")}
            return [a if w % 2 else b for a, b, w in zipped(sides["a"], sides["b"], which)]
        values = [self.input(inputs[name]) for name in ("a", "b") if name in inputs]
        if kind == "Sum":
            return [sum(values[0]) * 3 + sum(values[1])]
        if kind == "Row":
            return [a + i for a, b in zipped(*values) for i in range(b % 3)]
        if kind == "Show":
            return values[0]
        return [MAPPED[kind](*items) for items in zipped(*values)]

    def input(self, value: Json) -> list[int]:
        return self.of(str(value[0])) if is_link(value) else [value]  # type: ignore[list-item]


def zipped(*lists: list[int]) -> list[tuple[int, ...]]:
    if not all(lists):
        return []
    return [tuple(each[min(i, len(each) - 1)] for each in lists) for i in range(max(map(len, lists)))]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    graph: Graph = {}
    for number in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["Add", "AddLater", "Row", "Sum", "Choose"]))
        source: st.SearchStrategy[Any] = st.integers(0, 5) | (
            st.sampled_from(list(graph)).map(lambda id: [id, 0]) if graph else st.nothing()
        )
        inputs: dict[str, Json] = {"a": draw(source), "b": draw(source)}
        if kind == "Choose":
            inputs["which"] = draw(source)
        graph[str(number)] = {"class_type": kind, "inputs": inputs}
    for number, id in enumerate(draw(st.lists(st.sampled_from(list(graph)), min_size=1, max_size=3))):
        graph[f"show {number}"] = {"class_type": "Show", "inputs": {"a": [id, 0]}}
    return draw(st.permutations(list(graph.items())).map(dict))


def changed(graph: Graph, add_to: int) -> Graph:
    """The same graph with other constants here and there."""
    other: Graph = {}
    for position, (id, entry) in enumerate(graph.items()):
        inputs = {
            name: value if is_link(value) or position % 2 else value + add_to  # type: ignore[operator]
            for name, value in entry["inputs"].items()  # type: ignore[union-attr]
        }
        other[id] = {**entry, "inputs": inputs}
    return other


def check(runner: GraphRunner, graph: Graph) -> None:
    ran.clear()
    run = runner.run(graph)
    reference = Reference(graph)
    shown = {id: reference.of(id) for id, node in graph.items() if node["class_type"] == "Show"}
    assert run.status == "done", run.error
    assert {id: ui["a"] for id, ui in run.ui.items()} == {id: values for id, values in shown.items() if values}
    assert set(ran) <= reference.needed
    assert len(run.ran) == len(set(run.ran))
    position = {id: place for place, id in enumerate(run.ran)}
    for id in run.ran:
        lazy = ("a", "b") if graph[id]["class_type"] == "Choose" else ()
        sources = [source for name, source, _ in links_of(graph[id]) if name not in lazy]
        assert all(position.get(source, -1) < position[id] for source in sources)


@pytest.mark.parametrize("policy", ["classic", "lru", "none", "ram"])
@settings(max_examples=30)
@given(graph=graphs(), size=st.integers(0, 6))
def test_any_graph_under_any_policy(policy: Policy, graph: Graph, size: int) -> None:
    runner = GraphRunner(NODES, settings=Settings(execution=ExecutionSettings(cache=policy, cache_size=size)))
    for add_to in (0, 1, 0, 0):
        check(runner, changed(graph, add_to))
    if policy in ("classic", "ram"):
        assert runner.run(graph).ran == []
