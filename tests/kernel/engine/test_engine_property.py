"""Random graphs give what a naive evaluator gives, under every cache policy, and nothing runs twice or in vain."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.graph import Expansion, Graph, GraphBuilder, is_link, links_of
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Blocker, Result, node
from comfykernel_sdk.settings import ExecutionSettings, Settings
from comfykernel_sdk.sockets import Int, Out, Socket
from comfykernel_sdk.testing import GraphRunner

Policy = Literal["classic", "lru", "none", "ram"]
LazyInt = Annotated[int, Int(lazy=True)]
RawInt = Annotated[Any, Socket("INT", raw_link=True)]
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


@node("Stop")
def stop(a: int, b: int, context: NodeContext) -> int:
    ran.append(context.node_id)
    return a if (a + b) % 3 else Blocker()  # type: ignore[return-value]


@node("Both")
def both(a: int, b: int, context: NodeContext) -> tuple[int, Annotated[list[int], Out(is_list=True)]]:
    ran.append(context.node_id)
    return a - b, [a, b]


@node("Again")
def again(a: int, b: int, context: NodeContext) -> int | Expansion:
    """Adds one ``b % 3`` times, each time in a graph of its own."""
    ran.append(context.node_id)
    if b % 3 == 0:
        return a
    graph = GraphBuilder()
    more = graph.node("Add", a=a, b=1).out(0)
    link = graph.node("Again", a=more, b=b % 3 - 1).out(0)
    return Expansion(graph.finalize(), (link,))


@node("Behind")
def behind(a: RawInt, b: int, context: NodeContext) -> int | Expansion:
    """Links from its expansion to what stands before it, and shows ``b`` inside."""
    ran.append(context.node_id)
    graph = GraphBuilder()
    graph.node("Show", a=b)
    link = graph.node("AddLater", a=a, b=b).out(0)
    return Expansion(graph.finalize(), (link,))


@node("Show", output_node=True)
def show(a: int, context: NodeContext) -> Result[None]:
    ran.append(context.node_id)
    return Result(ui={"a": [a]})


NODES = (add, add_later, row, total, Choose, stop, both, again, behind, show)
INNER = ("Add", "AddLater", "Row", "Sum", "Choose", "Stop", "Both", "Again", "Behind")
MAPPED = {
    "Add": lambda a, b: a + b,
    "AddLater": lambda a, b: 2 * a - b,
    "Stop": lambda a, b: a if (a + b) % 3 else BLOCKED,
    "Again": lambda a, b: a + b % 3,
}
BLOCKED = None
Values: TypeAlias = list[int | None]


class Reference:
    """Evaluates by recursion, every value a list, ``None`` for what is blocked; notes what it needed and showed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shown_inside: set[int] = set()
        self.known: dict[str, tuple[Values, ...]] = {}

    def of(self, id: str) -> tuple[Values, ...]:
        if id not in self.known:
            inputs = self.graph[id]["inputs"]
            assert isinstance(inputs, dict)
            self.known[id] = self.evaluate(str(self.graph[id]["class_type"]), inputs)
        return self.known[id]

    def evaluate(self, kind: str, inputs: dict[str, Json]) -> tuple[Values, ...]:
        if kind == "Choose":
            return (self.choose(inputs),)
        if kind == "Behind":
            return (self.behind(inputs),)
        values = [self.input(inputs[name]) for name in ("a", "b") if name in inputs]
        if kind == "Show":
            return ([value for value in values[0] if value is not BLOCKED],)
        if kind == "Sum":
            a, b = values
            return ([BLOCKED if BLOCKED in a + b else sum(a) * 3 + sum(b)],)  # type: ignore[arg-type]
        items = zipped(*values)
        if kind == "Both":
            first: Values = [BLOCKED if BLOCKED in each else each[0] - each[1] for each in items]  # type: ignore[operator]
            return first, [value for each in items for value in ([BLOCKED] if BLOCKED in each else each)]
        if kind == "Row":
            rows = [[BLOCKED] if BLOCKED in each else range(each[0], each[0] + each[1] % 3) for each in items]  # type: ignore[operator, arg-type]
            return ([value for row in rows for value in row],)
        return ([BLOCKED if BLOCKED in each else MAPPED[kind](*each) for each in items],)

    def choose(self, inputs: dict[str, Json]) -> Values:
        which = self.input(inputs["which"])
        wanted = {"a" if each % 2 else "b" for each in which if each is not BLOCKED}
        a, b = (self.input(inputs[name]) if name in wanted else [0] for name in ("a", "b"))
        return [BLOCKED if BLOCKED in (a, b, w) else a if w % 2 else b for a, b, w in zipped(a, b, which)]  # type: ignore[operator]

    def behind(self, inputs: dict[str, Json]) -> Values:
        before = self.input(inputs["a"])
        values: Values = []
        for b in self.input(inputs["b"]):
            if b is BLOCKED:
                values.append(BLOCKED)
                continue
            self.shown_inside.add(b)
            values += [BLOCKED if a is BLOCKED else 2 * a - b for a in before]
        return values

    def input(self, value: Json) -> Values:
        return self.of(str(value[0]))[int(value[1])] if is_link(value) else [value]  # type: ignore[list-item, index, arg-type]


def zipped(*lists: Values) -> list[tuple[int | None, ...]]:
    if not all(lists):
        return []
    return [tuple(each[min(i, len(each) - 1)] for each in lists) for i in range(max(map(len, lists)))]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    graph: Graph = {}
    for number in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(INNER))
        links = [[id, output] for id, made in graph.items() for output in range(1 + (made["class_type"] == "Both"))]
        source: st.SearchStrategy[Any] = st.integers(0, 5) | (st.sampled_from(links) if links else st.nothing())
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


def check(runner: GraphRunner, graph: Graph, policy: Policy) -> None:
    ran.clear()
    run = runner.run(graph)
    reference = Reference(graph)
    shown = {id: reference.of(id)[0] for id, node in graph.items() if node["class_type"] == "Show"}
    assert run.status == "done", run.error
    assert {id: ui["a"] for id, ui in run.ui.items() if id in graph} == {id: each for id, each in shown.items() if each}
    inside = {value for id, ui in run.ui.items() if id not in graph for value in ui["a"]}  # type: ignore[union-attr]
    # A node that was forgotten while its reader is known has no reason to run and to show anything again.
    assert inside == reference.shown_inside or (policy == "lru" and inside < reference.shown_inside)
    begun = {id for id in run.ran if id in graph}
    assert begun <= set(reference.known)
    assert begun == set(reference.known) or policy != "none"
    assert len(run.ran) == len(set(run.ran))
    position = {id: place for place, id in enumerate(run.ran)}
    for id in begun:
        free = ("a", "b") if graph[id]["class_type"] == "Choose" else ()
        sources = [source for name, source, _ in links_of(graph[id]) if name not in free]
        assert all(position.get(source, -1) < position[id] for source in sources)


@pytest.mark.parametrize("policy", ["classic", "lru", "none", "ram"])
@settings(max_examples=60)
@given(graph=graphs(), size=st.integers(0, 6))
def test_any_graph_under_any_policy(policy: Policy, graph: Graph, size: int) -> None:
    runner = GraphRunner(NODES, settings=Settings(execution=ExecutionSettings(cache=policy, cache_size=size)))
    for add_to in (0, 1, 0, 0):
        check(runner, changed(graph, add_to), policy)
    if policy in ("classic", "ram"):
        assert runner.run(graph).ran == []
