"""The order of what a run says: transports turn events into messages one by one."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from comfykernel_sdk import events as ev
from comfykernel_sdk.context import NodeContext, Preview
from comfykernel_sdk.errors import Interrupted
from comfykernel_sdk.graph import Graph
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Blocker, Result, node
from comfykernel_sdk.sockets import AnyValue
from comfykernel_sdk.testing import GraphRun, GraphRunner, run_graph

Said: TypeAlias = tuple[object, ...]


@node("Echo")
def echo(value: AnyValue) -> AnyValue:
    return value


@node("Show", output_node=True)
def show(value: AnyValue) -> Result[AnyValue]:
    return Result(value, ui={"text": [value]})


@node("Silent", output_node=True)
def silent(value: AnyValue) -> AnyValue:
    return value


@node("Steps")
def steps(value: int, context: NodeContext) -> int:
    for step in range(value):
        context.progress(step + 1, value, preview=Preview(b"x"))
    context.preview(Preview(b"y", "PNG"))
    context.text("words", broadcast=True)
    context.send("pack.event", {"a": (1, 2)}, client_id="c")  # type: ignore[dict-item]
    return value


@node("Fail")
def fail(value: AnyValue, message: str = "broken") -> AnyValue:
    raise ValueError(message)


@node("Stop")
def stop(value: AnyValue) -> AnyValue:
    raise Interrupted


@node("Block")
def block(message: str) -> AnyValue:
    return Blocker(message or None)


NODES = (echo, show, silent, steps, fail, stop, block)


def said(run: GraphRun) -> list[Said]:
    """Events in a form that is easy to read."""
    short: list[Said] = []
    for event in run.events:
        match event:
            case ev.NodeProgress(announce="state"):
                short.append((event.state, event.place.node_id, event.value, event.max))
            case ev.NodeProgress():
                short.append(("step", event.place.node_id, event.value, event.max))
            case ev.NodeStarted():
                short.append(("start", event.place.node_id))
            case ev.NodeOutput():
                short.append(("output", event.place.node_id, event.output, event.cached))
            case ev.ExecutionCached():
                short.append(("cached", *event.nodes))
            case _:
                short.append((type(event).__name__,))
    return short


def begun(id: str) -> list[Said]:
    return [("running", id, 0, 1), ("start", id)]


def graph_of(kind: str, last: str = "Show", **inputs: object) -> Graph:
    return {
        "1": {"class_type": kind, "inputs": inputs},  # type: ignore[dict-item]
        "2": {"class_type": last, "inputs": {"value": ["1", 0]}},
    }


def test_a_chain() -> None:
    assert said(run_graph(graph_of("Echo", value="v"), nodes=NODES)) == [
        ("ExecutionStarted",), ("cached",), *begun("1"), ("finished", "1", 1, 1), *begun("2"),
        ("output", "2", {"text": ["v"]}, False), ("finished", "2", 1, 1), ("ExecutionSucceeded",),
    ]  # fmt: skip


@pytest.mark.parametrize(("last", "ui"), [("Show", {"text": ["v"]}), ("Silent", None)])
def test_known_outputs_are_shown_again(last: str, ui: object) -> None:
    runner = GraphRunner(NODES)
    runner.run(graph_of("Echo", last, value="v"))
    assert said(runner.run(graph_of("Echo", last, value="v"))) == [
        ("ExecutionStarted",), ("cached", "1", "2"), ("output", "2", ui, True), ("finished", "2", 1, 1),
        ("ExecutionSucceeded",),
    ]  # fmt: skip


def test_steps_previews_texts_and_messages() -> None:
    run = run_graph(graph_of("Steps", value=2), nodes=NODES)
    assert said(run)[4:13] == [
        ("step", "1", 1, 2), ("NodePreview",), ("step", "1", 2, 2), ("NodePreview",), ("NodePreview",), ("NodeText",),
        ("NodeMessage",), ("finished", "1", 2, 2), ("running", "2", 0, 1),
    ]  # fmt: skip
    (message,) = [event for event in run.events if isinstance(event, ev.NodeMessage)]
    assert (message.event, message.data, message.client_id) == ("pack.event", {"a": [1, 2]}, "c")
    assert all(event.prompt_id == "test-prompt" and event.timestamp > 0 for event in run.events)


def test_a_failure() -> None:
    run = run_graph(graph_of("Fail", value=None), nodes=NODES)
    assert said(run) == [("ExecutionStarted",), ("cached",), *begun("1"), ("ExecutionFailed",)]
    error = run.error
    assert error is not None
    assert (error.node_id, error.node_type, error.exception_type) == ("1", "Fail", "ValueError")
    assert (error.exception_message, error.current_inputs) == ("broken\n", {"value": [None]})
    assert (error.executed, error.current_outputs, error.timed) == ([], ["1", "2"], True)
    assert len(error.traceback) == 1
    assert "raise ValueError(message)" in error.traceback[-1]
    assert run.outcome.status == "failed"
    assert [name for name, _ in run.outcome.messages] == ["execution_start", "execution_cached", "execution_error"]
    assert run.outcome.messages[2][1]["exception_message"] == "broken\n"


def test_what_was_shown_before_a_failure_stays() -> None:
    graph: Graph = {
        "1": {"class_type": "Show", "inputs": {"value": "v"}},
        "2": {"class_type": "Fail", "inputs": {"value": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    run = run_graph(graph, nodes=NODES)
    assert (run.status, run.ui) == ("failed", {"1": {"text": ["v"]}})
    assert run.error is not None
    assert run.error.executed == ["1"]


def test_sys_exit_in_a_node_is_a_failure_of_the_node() -> None:
    @node("Exit", output_node=True)
    def exit_node() -> None:
        raise SystemExit(3)

    run = run_graph({"1": {"class_type": "Exit", "inputs": {}}}, nodes=[exit_node])
    assert run.error is not None
    assert run.error.exception_type == "SystemExit"


def test_a_node_may_interrupt_its_prompt() -> None:
    run = run_graph(graph_of("Stop", value=1), nodes=NODES)
    assert said(run)[-1] == ("ExecutionInterrupted",)
    assert run.status == "cancelled"
    assert run.outcome.messages[-1] == (
        "execution_interrupted",
        {"prompt_id": "test-prompt", "node_id": "1", "node_type": "Stop", "executed": [],
         "timestamp": run.events[-1].timestamp},
    )  # fmt: skip


def test_a_blocked_node_begins_and_ends() -> None:
    run = run_graph(graph_of("Block", message=""), nodes=NODES)
    blocked = [*begun("2"), ("finished", "2", 1, 1), ("ExecutionSucceeded",)]
    assert said(run)[-4:] == blocked
    run = run_graph(graph_of("Block", message="because"), nodes=NODES)
    assert said(run)[-5:] == [*blocked[:2], ("ExecutionFailed",), *blocked[2:]]


def test_values_in_errors_are_plain() -> None:
    class Tensor:
        shape = (1, 2)
        dtype = "float32"

    run = run_graph(graph_of("Fail", value={"__value__": Tensor()}, message="m"), nodes=NODES)
    assert run.error is not None
    assert run.error.current_inputs == {"value": ["Tensor [1, 2] float32"], "message": ["m"]}


@pytest.mark.parametrize(
    ("graph", "node_id"),
    [
        ({"1": {"class_type": "Gone", "inputs": {}}}, "1"),
        ({"1": {"class_type": "Show", "inputs": {"value": ["2", 0]}}, "2": {"class_type": "Gone"}}, "2"),
        ({"1": {"class_type": "Show", "inputs": {"value": ["nowhere", 0]}}}, ""),
        (graph_of("Echo", value=["2", 0]), "1"),
        ({"1": {"class_type": "Show", "inputs": {"value": ["1", 0]}}}, "1"),
    ],
)
def test_a_graph_that_can_not_run_ends_with_an_error(graph: Graph, node_id: str) -> None:
    outputs = ["2" if "2" in graph and graph["2"]["class_type"] == "Show" else "1"]
    run = run_graph(graph, nodes=NODES, outputs=outputs)
    assert run.error is not None
    assert run.error.exception_type.endswith("GraphError")
    assert run.error.node_id in (node_id, "2")


def test_outputs_come_early_and_one_branch_after_the_other() -> None:
    graph: Graph = {}
    for branch in "ab":
        for number in range(3):
            value: Json = [f"{branch}{number - 1}", 0] if number else branch
            graph[f"{branch}{number}"] = {"class_type": "Echo", "inputs": {"value": value}}
        graph[f"show {branch}"] = {"class_type": "Show", "inputs": {"value": [f"{branch}2", 0]}}
        graph[f"early {branch}"] = {"class_type": "Show", "inputs": {"value": [f"{branch}0", 0]}}
    run = run_graph(graph, nodes=NODES)
    assert run.ran == [
        "a0", "early a", "b0", "early b", "a1", "a2", "show a", "b1", "b2", "show b",
    ]  # fmt: skip
