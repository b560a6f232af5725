"""``run_node`` and ``run_graph``: the first test that an author of nodes writes."""

from __future__ import annotations

import asyncio
from typing import Annotated

import pytest

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import AnyValue, Out
from comfykernel_sdk.storage import FileRef
from comfykernel_sdk.testing import MemoryStorage, run_graph, run_node
from comfykernel_sdk.testing.pytest_plugin import RunGraph, RunNode


@node("Double")
def double(value: int) -> tuple[int, Annotated[list[int], Out("both", is_list=True)]]:
    return value * 2, [value, value]


@node("Save", output_node=True)
async def save(value: AnyValue, context: NodeContext) -> Result[None]:
    ref = context.files.write(FileRef("a.txt"), str(value).encode())
    context.progress(1, 1)
    return Result(ui={"files": [ref.filename]})


@node("Total", input_is_list=True)
def total(values: list[int]) -> int:
    return sum(values)


@node("Wrong")
def wrong(value: int) -> int:
    raise ZeroDivisionError(value)


def test_outputs_of_one_node() -> None:
    run = run_node(double, value=4)
    assert run.outputs == [8, [4, 4]]
    with pytest.raises(ValueError, match="too many values"):
        _ = run.output


def test_ui_files_and_events_of_one_node() -> None:
    storage = MemoryStorage()
    run = run_node(save, storage=storage, value=["any", 1])
    assert run.ui == {"files": ["a.txt"]}
    assert storage.files.open(FileRef("a.txt")).read() == b"['any', 1]"
    assert len(run.run.events) == 8


def test_a_list_for_a_node_that_takes_lists() -> None:
    assert run_node(total, values=[1, 2, 3]).output == 6


def test_the_exception_of_a_node_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError, match="3"):
        run_node(wrong, value=3)


def test_a_graph(run_graph: RunGraph, run_node: RunNode) -> None:
    graph: dict[str, dict[str, object]] = {
        "1": {"class_type": "Double", "inputs": {"value": 2}},
        "2": {"class_type": "Save", "inputs": {"value": ["1", 0]}},
    }
    run = run_graph(graph, nodes=[double, save])
    assert (run.status, run.value("1"), run.outputs["1"], run.ui) == (
        "done", 4, [[4], [2, 2]], {"2": {"files": ["a.txt"]}},
    )  # fmt: skip
    assert run_node(double, value=1).outputs[0] == 2


def test_inside_an_event_loop() -> None:
    async def main() -> object:
        return run_node(double, value=4).outputs[0]

    assert asyncio.run(main()) == 8


def test_a_failing_graph_tells_what_failed() -> None:
    run = run_graph({"1": {"class_type": "Wrong", "inputs": {"value": 1}}}, nodes=[wrong], outputs=["1"])
    assert run.status == "failed"
    assert isinstance(run.exception, ZeroDivisionError)
    assert run.error is not None
    assert run.error.node_id == "1"
