"""The fixtures as a stranger's test uses them."""

from __future__ import annotations

from typing import Annotated

import pytest

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.jobs import JobState
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import Int
from comfykernel_sdk.storage import FileRef
from comfykernel_sdk.testing import MemoryStorage, RunGraph, RunNode, RunPrompt

GRAPH = {"1": {"class_type": "CountUp", "inputs": {"number": 4}}}


@node("CountUp", output_node=True)
def count_up(number: Annotated[int, Int(min=0, max=9)], context: NodeContext) -> Result[int]:
    context.files.write(FileRef("count.txt"), str(number).encode())
    return Result(number + 1, ui={"text": [str(number + 1)]})


def test_run_node_and_run_graph(run_node: RunNode, run_graph: RunGraph, memory_storage: MemoryStorage) -> None:
    assert run_node(count_up, number=40).output == 41
    run = run_graph(GRAPH, nodes=[count_up], storage=memory_storage)
    assert (run.status, run.value("1")) == ("done", 5)
    assert memory_storage.files.open(FileRef("count.txt")).read() == b"4"


def test_run_prompt_validates_as_the_server_does(run_prompt: RunPrompt, memory_storage: MemoryStorage) -> None:
    job = run_prompt(GRAPH, nodes=[count_up], storage=memory_storage)
    assert job.state is JobState.DONE
    assert job.outcome is not None
    assert job.outcome.outputs == {"1": {"text": ["5"]}}
    with pytest.raises(InvalidPrompt) as refused:
        run_prompt({"1": {"class_type": "CountUp", "inputs": {"number": 10}}}, nodes=[count_up])
    assert "value_bigger_than_max" in str(refused.value.node_errors)


async def test_run_prompt_inside_an_event_loop(run_prompt: RunPrompt) -> None:
    assert run_prompt(GRAPH, nodes=[count_up]).state is JobState.DONE
