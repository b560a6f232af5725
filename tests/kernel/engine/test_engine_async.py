"""Coroutines overlap; interrupts and failures end them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Annotated

import pytest

from comfykernel_sdk.context import NodeContext, Preview, current_context
from comfykernel_sdk.events import ExecutionInterrupted, NodePreview, NodeProgress, NodeStarted
from comfykernel_sdk.graph import Graph
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import AnyValue, Out
from comfykernel_sdk.testing import GraphRun, GraphRunner, run_graph

LONG_S = 60.0


@node("Wait")
async def wait(seconds: float, context: NodeContext) -> str:
    await asyncio.sleep(seconds)
    assert current_context() is context
    return context.node_id


@node("Meet")
async def meet(party: AnyValue, value: AnyValue = None) -> str:
    """Goes on only when all of the party are here."""
    await asyncio.wait_for(party.wait(), LONG_S)  # type: ignore[attr-defined]
    return current_context().node_id


@node("Items")
def items(values: AnyValue) -> Annotated[list[AnyValue], Out(is_list=True)]:
    return values  # type: ignore[return-value]


@node("Show", output_node=True)
def show(value: AnyValue) -> Result[None]:
    return Result(ui={"text": [value]})


@node("Fail", output_node=True)
def fail(value: AnyValue = None) -> None:
    raise ValueError("sync")


@node("FailLater", output_node=True)
async def fail_later(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise ValueError("async")


@node("Steps", output_node=True)
def steps(count: int, context: NodeContext) -> None:
    for step in range(count):
        context.progress(step, count)
        time.sleep(0.005)


NODES = (wait, meet, items, show, fail, fail_later, steps)


def test_nodes_overlap() -> None:
    async def main() -> GraphRun:
        party = asyncio.Barrier(3)
        graph: Graph = {}
        for id in ("a", "b", "c"):
            graph[id] = {"class_type": "Meet", "inputs": {"party": {"__value__": party}}}  # type: ignore[dict-item]
            graph[f"show {id}"] = {"class_type": "Show", "inputs": {"value": [id, 0]}}
        return await GraphRunner(NODES).run_async(graph)

    run = asyncio.run(main())
    assert {id: ui["text"] for id, ui in run.ui.items()} == {"show a": ["a"], "show b": ["b"], "show c": ["c"]}


def test_calls_of_one_node_overlap_and_keep_their_order() -> None:
    graph: Graph = {
        "1": {"class_type": "Items", "inputs": {"values": {"__value__": [0.02, 0.0, 0.01]}}},
        "2": {"class_type": "Wait", "inputs": {"seconds": ["1", 0]}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    run = run_graph(graph, nodes=NODES)
    assert run.ui == {"3": {"text": ["2", "2", "2"]}}
    assert run.ran == ["1", "2", "3"]


def test_asynchronous_nodes_are_started_before_others_compute() -> None:
    graph: Graph = {
        "1": {"class_type": "Items", "inputs": {"values": {"__value__": [1]}}},
        "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
        "3": {"class_type": "Wait", "inputs": {"seconds": 0.0}},
        "4": {"class_type": "Show", "inputs": {"value": ["3", 0]}},
    }
    assert run_graph(graph, nodes=NODES).ran[0] == "3"


def test_a_failure_ends_coroutines_of_other_nodes() -> None:
    graph: Graph = {
        "1": {"class_type": "Wait", "inputs": {"seconds": LONG_S}},
        "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
        "3": {"class_type": "Fail", "inputs": {}},
    }
    run = run_graph(graph, nodes=NODES)
    assert run.error is not None
    assert (run.error.node_id, run.error.exception_message, run.error.exception_type) == ("3", "sync\n", "ValueError")
    graph["3"] = {"class_type": "FailLater", "inputs": {"seconds": 0.0}}
    run = run_graph(graph, nodes=NODES)
    assert run.error is not None
    assert (run.error.node_id, run.error.current_inputs) == ("3", {"seconds": [0.0]})
    assert "raise ValueError" in run.error.traceback[-1]


def test_a_cancelled_engine_ends_its_coroutines() -> None:
    async def main() -> None:
        graph: Graph = {"1": {"class_type": "Wait", "inputs": {"seconds": LONG_S}}}
        task = asyncio.create_task(GraphRunner(NODES).run_async(graph, outputs=["1"]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def interrupt_soon(runner: GraphRunner) -> None:
    while not runner.engine.interrupt("test-prompt"):
        time.sleep(0.001)


@pytest.mark.parametrize("kind", ["Wait", "Steps"])
def test_an_interrupt_reaches_a_node_that_waits_and_one_that_reports_steps(kind: str) -> None:
    inputs: dict[str, Json] = {"seconds": LONG_S} if kind == "Wait" else {"count": 1000}
    graph: Graph = {"0": {"class_type": "Items", "inputs": {"values": 1}}, "1": {"class_type": kind, "inputs": inputs}}
    runner = GraphRunner(NODES)
    runs: list[GraphRun] = []
    thread = threading.Thread(target=lambda: runs.append(runner.run(graph, outputs=["1"])))
    thread.start()
    interrupt_soon(runner)
    thread.join()
    (run,) = runs
    (event,) = [event for event in run.events if isinstance(event, ExecutionInterrupted)]
    assert (run.status, event.executed) == ("cancelled", [])
    assert (event.node_id, event.node_type) == ("1", kind)
    assert run.outcome.messages[-1][0] == "execution_interrupted"


def test_an_interrupt_of_another_prompt_does_nothing() -> None:
    runner = GraphRunner(NODES)
    assert not runner.engine.interrupt("other")
    assert not runner.engine.interrupt("test-prompt")
    assert runner.run({"1": {"class_type": "Show", "inputs": {"value": 1}}}).status == "done"


def test_a_prompt_that_is_about_to_run_can_be_cancelled() -> None:
    runner = GraphRunner(NODES)
    runner.engine.interrupt("test-prompt", expected=True)
    graph: Graph = {"1": {"class_type": "Show", "inputs": {"value": 1}}}
    run = runner.run(graph)
    assert (run.status, run.ran) == ("cancelled", [])
    assert runner.run(graph).status == "done"


def test_progress_and_previews_from_another_thread() -> None:
    @node("Threaded", output_node=True)
    async def threaded(context: NodeContext) -> None:
        def work() -> None:
            current_context().progress(1, 4, preview=Preview(b"x", "PNG"))

        await asyncio.to_thread(work)

    run = run_graph({"1": {"class_type": "Threaded", "inputs": {}}}, nodes=[threaded])
    kinds = [type(event) for event in run.events]
    assert kinds[2:7] == [NodeProgress, NodeStarted, NodeProgress, NodePreview, NodeProgress]
    step, last = run.events[4], run.events[6]
    assert isinstance(step, NodeProgress)
    assert (step.value, step.max, step.announce, step.has_preview, step.state) == (1, 4, "progress", True, "running")
    assert isinstance(last, NodeProgress)
    assert (last.value, last.max, last.announce, last.state) == (4, 4, "state", "finished")
