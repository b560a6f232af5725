"""The real kernel over memory and an engine in this process."""

from __future__ import annotations

import asyncio
import time

import pytest

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.events import JobFinished, NodeStarted
from comfykernel_sdk.graph import Graph
from comfykernel_sdk.jobs import JobState, PromptRequest
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.testing import MemoryStorage, kernel_in_memory
from comfykernel_sdk.transport import Kernel, Subscription

PATIENCE_S = 30.0


@node("Show", output_node=True)
class Show:
    @staticmethod
    def validate(text: str) -> bool | str:
        return text != "bad" or "is bad"

    def run(self, text: str) -> Result[None]:
        return Result(ui={"text": [text]})


@node("Wait", output_node=True)
def wait(context: NodeContext) -> None:
    while True:
        context.check_cancelled()
        time.sleep(0.002)


NODES = (Show, wait)


def show(text: str) -> Graph:
    return {"1": {"class_type": "Show", "inputs": {"text": text}}}


async def until(subscription: Subscription, kind: type, prompt_id: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for each in subscription:
            if isinstance(each.event, kind) and getattr(each.event, "prompt_id", "") == prompt_id:
                return


async def submit(kernel: Kernel, graph: Graph, prompt_id: str) -> None:
    await kernel.submit(PromptRequest(graph=graph, prompt_id=prompt_id))


async def test_a_prompt_from_submission_to_history() -> None:
    async with kernel_in_memory(NODES) as kernel:
        subscription = kernel.subscribe()
        await submit(kernel, show("a"), "p")
        await until(subscription, JobFinished, "p")
        (job,) = await kernel.history()
        assert job.outcome is not None
        assert (job.state, job.outcome.outputs) == (JobState.DONE, {"1": {"text": ["a"]}})
        numbers = [each.number async for each in kernel.replay("p")]
        assert numbers == sorted(numbers)


async def test_bad_input_is_refused() -> None:
    async with kernel_in_memory(NODES) as kernel:
        await kernel.object_info()
        with pytest.raises(InvalidPrompt) as caught:
            await submit(kernel, show("bad"), "p")
        assert "1" in caught.value.node_errors
        with pytest.raises(InvalidPrompt):
            await submit(kernel, {"1": {"class_type": "Nobody", "inputs": {}}}, "p")


async def test_interrupt() -> None:
    async with kernel_in_memory(NODES) as kernel:
        subscription = kernel.subscribe()
        await submit(kernel, {"1": {"class_type": "Wait", "inputs": {}}}, "p")
        await until(subscription, NodeStarted, "p")
        assert await kernel.interrupt("p")
        await until(subscription, JobFinished, "p")
        job = await kernel.job("p")
        assert job is not None
        assert job.state is JobState.CANCELLED


async def test_a_job_that_ran_when_the_kernel_stopped_runs_again_after_a_restart() -> None:
    storage = MemoryStorage()
    async with kernel_in_memory(NODES, storage=storage) as kernel:
        subscription = kernel.subscribe()
        await submit(kernel, {"1": {"class_type": "Wait", "inputs": {}}}, "runs")
        await submit(kernel, show("a"), "waits")
        await until(subscription, NodeStarted, "runs")
    async with kernel_in_memory(NODES, storage=storage) as kernel:
        subscription = kernel.subscribe()
        await until(subscription, NodeStarted, "runs")
        assert await kernel.interrupt("runs")
        await until(subscription, JobFinished, "waits")
        assert [job.prompt_id for job in await kernel.history()] == ["runs", "waits"]
