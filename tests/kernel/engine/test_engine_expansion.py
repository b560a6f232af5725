"""Nodes that run a graph in their place."""

from __future__ import annotations

from typing import Annotated, Any

from comfykernel_sdk.events import NodeOutput, NodeProgress, NodeStarted
from comfykernel_sdk.graph import Expansion, Graph, GraphBuilder
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.settings import ExecutionSettings, Settings
from comfykernel_sdk.sockets import AnyValue, Hidden, Out, UniqueId
from comfykernel_sdk.testing import GraphRunner, run_graph, run_node


@node("Echo")
def echo(value: AnyValue) -> AnyValue:
    return value


@node("Items")
def items(values: AnyValue) -> Annotated[list[AnyValue], Out(is_list=True)]:
    return values  # type: ignore[return-value]


@node("Show", output_node=True)
def show(value: AnyValue) -> Result[AnyValue]:
    return Result(value, ui={"text": [value]})


@node("Fail")
def fail(value: AnyValue) -> AnyValue:
    raise ValueError(f"no {value}")


@node("Down")
def down(count: int, last: str) -> AnyValue | Expansion:
    """Expands into itself until it is at 0, then into a node of the class ``last``."""
    graph = GraphBuilder()
    inner = graph.node("Down", count=count - 1, last=last) if count else graph.node(last, value="end")
    return Expansion(graph.finalize(), (inner.out(0),))


@node("Odd")
def odd(value: int) -> AnyValue | Expansion:
    """Even values are given as they are, odd ones go through a node of the expansion."""
    if value % 2 == 0:
        return value
    graph = GraphBuilder()
    link = graph.node("Echo", "e", value=value * 10).out(0)
    return Expansion(graph.finalize(), (link,))


@node("Any graph")
def any_graph(graph: AnyValue, result: AnyValue) -> AnyValue | Expansion:
    return Expansion(graph, (result,))  # type: ignore[arg-type]


NODES = (echo, items, show, fail, down, odd, any_graph)


def down_graph(count: int, last: str) -> Graph:
    return {
        "1": {"class_type": "Down", "inputs": {"count": count, "last": last}},
        "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
    }


def expanding(graph: Graph, result: Json) -> Graph:
    return {
        "0": {"class_type": "Echo", "inputs": {"value": "outer"}},
        "1": {
            "class_type": "Any graph",
            "inputs": {"graph": {"__value__": graph}, "result": {"__value__": result}},  # type: ignore[dict-item]
        },
        "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
    }


def test_nested_expansions_have_ids_that_are_the_same_each_time() -> None:
    run = run_graph(down_graph(2, "Echo"), nodes=NODES)
    assert run.ui == {"2": {"text": ["end"]}}
    assert run.ran == ["1", "1.0.0.1", "1.0.0.1.0.0.1", "1.0.0.1.0.0.1.0.0.1", "2"]
    places = {e.place.node_id: e.place for e in run.events if isinstance(e, NodeStarted)}
    inner = places["1.0.0.1.0.0.1"]
    assert (inner.display_node_id, inner.parent_node_id, inner.real_node_id) == ("1", "1.0.0.1", "1")


def test_a_node_that_expands_is_finished_after_its_graph() -> None:
    run = run_graph(down_graph(0, "Echo"), nodes=NODES)
    states = [(e.place.node_id, e.state) for e in run.events if isinstance(e, NodeProgress)]
    assert states == [
        ("1", "running"), ("1.0.0.1", "running"), ("1.0.0.1", "finished"), ("1", "finished"), ("2", "running"),
        ("2", "finished"),
    ]  # fmt: skip


def test_a_failure_inside_is_shown_at_the_node_of_the_prompt() -> None:
    run = run_graph(down_graph(1, "Fail"), nodes=NODES)
    error = run.error
    assert error is not None
    assert (error.node_id, error.node_type, error.exception_message) == ("1", "Down", "no end\n")
    assert error.current_inputs == {"value": ["end"]}
    assert "1" not in error.executed


def test_an_expansion_is_reused_as_a_whole_with_what_its_nodes_showed() -> None:
    engine = GraphRunner(NODES)
    first = engine.run(down_graph(1, "Show"))
    assert set(first.ui) == {"1.0.0.1.0.0.1", "2"}
    again = engine.run(down_graph(1, "Show"))
    assert (again.ran, again.ui, again.outcome.meta) == ([], first.ui, first.outcome.meta)
    assert [e.place.node_id for e in again.events if isinstance(e, NodeOutput)] == ["2"]


def test_inner_nodes_are_reused_when_only_part_of_an_expansion_changed() -> None:
    engine = GraphRunner(NODES)
    for tail in ("a" * 10_000, "b" * 10_000):
        graph: Graph = {
            "x": {"class_type": "Echo", "inputs": {"value": "same"}},
            "y": {"class_type": "Show", "inputs": {"value": tail}},
        }
        run = engine.run(expanding(graph, ["x", 0]))
    assert "x" not in run.ran
    assert "y" in run.ran
    assert engine.engine.cache_bytes() < 20_000, "what the first expansion left is kept"


def test_calls_of_a_mapped_node_may_expand_or_not() -> None:
    graph: Graph = {
        "1": {"class_type": "Items", "inputs": {"values": {"__value__": [1, 2, 3]}}},
        "2": {"class_type": "Odd", "inputs": {"value": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    run = run_graph(graph, nodes=NODES)
    assert run.ui == {"3": {"text": [10, 2, 30]}}
    assert {"2.0.0.e", "2.2.0.e"} <= set(run.ran)


def test_an_expansion_may_link_to_nodes_outside_and_give_values() -> None:
    inner: Graph = {"x": {"class_type": "Show", "inputs": {"value": ["0", 0]}}}
    run = run_graph(expanding(inner, "a value"), nodes=NODES)
    assert run.ui == {"x": {"text": ["outer"]}, "2": {"text": ["a value"]}}
    for policy in ("classic", "none"):
        settings = Settings(execution=ExecutionSettings(cache=policy))
        run = run_graph(expanding({}, ["0", 0]), nodes=NODES, settings=settings)
        assert run.ui == {"2": {"text": ["outer"]}}


def test_a_list_inside_gives_several_values() -> None:
    inner: Graph = {"x": {"class_type": "Items", "inputs": {"values": {"__value__": [1, 2]}}}}
    assert run_graph(expanding(inner, ["x", 0]), nodes=NODES).ui == {"2": {"text": [1, 2]}}


def test_a_node_may_be_shown_as_another_one() -> None:
    inner: Graph = {
        "x": {"class_type": "Echo", "inputs": {"value": 1}, "override_display_id": "0"},
        "y": {"class_type": "Fail", "inputs": {"value": ["x", 0]}, "override_display_id": "x"},
    }
    run = run_graph(expanding(inner, ["y", 0]), nodes=NODES)
    places = {e.place.node_id: e.place for e in run.events if isinstance(e, NodeStarted)}
    assert [places[id].display_node_id for id in ("1", "x", "y")] == ["1", "0", "0"]
    assert run.error is not None
    assert (run.error.node_id, run.error.node_type) == ("0", "Echo")


def failure_of(inner: Graph, result: Json) -> tuple[str, str, str]:
    run = run_graph(expanding(inner, result), nodes=NODES)
    assert run.error is not None
    return run.error.node_id, run.error.exception_type.rpartition(".")[2], run.error.exception_message


def test_a_cycle_made_by_an_expansion_is_the_error_of_the_node_that_made_it() -> None:
    inner: Graph = {
        "x": {"class_type": "Echo", "inputs": {"value": ["y", 0]}},
        "y": {"class_type": "Echo", "inputs": {"value": ["x", 0]}},
    }
    id, kind, message = failure_of(inner, ["x", 0])
    assert (id, kind) == ("1", "GraphError")
    assert "x" in message
    to_itself: Graph = {"x": {"class_type": "Echo", "inputs": {"value": ["1", 0]}}}
    assert failure_of(to_itself, ["x", 0])[:2] == ("1", "GraphError")


def test_an_expansion_that_can_not_be() -> None:
    missing: Graph = {"x": {"class_type": "Nobody", "inputs": {}}}
    assert failure_of(missing, ["x", 0])[:2] == ("1", "GraphError")
    assert "'Nobody'" in failure_of(missing, 1)[2]
    assert "GraphBuilder" in failure_of({"0": {"class_type": "Echo", "inputs": {"value": 1}}}, ["0", 0])[2]
    nowhere: Graph = {"x": {"class_type": "Echo", "inputs": {"value": ["nowhere", 0]}}}
    assert "'nowhere'" in failure_of(nowhere, ["x", 0])[2]
    assert failure_of({"x": {"class_type": "Echo", "inputs": {"value": 1}}}, ["x", 3])[:2] == ("1", "WrongResult")


def test_any_object_may_be_a_constant_inside() -> None:
    thing = object()

    @node("Build")
    def build() -> AnyValue | Expansion:
        graph = GraphBuilder()
        link = graph.node("Echo", value=thing).out(0)
        return Expansion(graph.finalize(), (link,))

    assert run_node(build, nodes=[echo]).output is thing


def test_the_dynamic_prompt_knows_nodes_of_expansions() -> None:
    @node("Ask", output_node=True)
    def ask(graph: Annotated[AnyValue, Hidden("DYNPROMPT")], id: UniqueId) -> Result[None]:
        nodes: Any = graph
        seen = [
            id, nodes.get_node(id)["class_type"], nodes.get_parent_node_id(id), nodes.get_real_node_id(id),
            nodes.get_display_node_id(id), nodes.has_node("nobody"), sorted(nodes.all_node_ids()),
            sorted(nodes.get_original_prompt()),
        ]  # fmt: skip
        return Result(ui={"seen": seen})

    run = run_graph(expanding({"x": {"class_type": "Ask", "inputs": {}}}, 1), nodes=[*NODES, ask])
    assert run.ui["x"]["seen"] == ["x", "Ask", "1", "1", "1", False, ["0", "1", "2", "x"], ["0", "1", "2"]]
