"""Documents that are submitted as prompts, to the real kernel in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.events import JobFinished
from comfykernel_sdk.jobs import Job, PromptRequest
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import Text
from comfykernel_sdk.testing import kernel_in_memory
from comfykernel_ui_workflows import plugin

if TYPE_CHECKING:
    from comfykernel_sdk.transport import Kernel


@node("Show", output_node=True)
def show(text: Annotated[str, Text(dynamic_prompts=True)]) -> Result[None]:
    return Result(ui={"text": [text]})


GRAPH: dict[str, Any] = {"1": {"class_type": "Show", "inputs": {"text": "{a|b}"}}}


def drawn(text: str, type: str = "Show") -> dict[str, Any]:
    return {"nodes": [{"id": 1, "type": type, "widgets_values": [text]}], "links": []}


async def ended(kernel: Kernel, graph: dict[str, Any], **more: Any) -> Job:
    subscription = kernel.subscribe()
    submission = await kernel.submit(PromptRequest(graph=graph, **more))
    async with asyncio.timeout(30):
        async for each in subscription:
            if isinstance(each.event, JobFinished) and each.event.prompt_id == submission.prompt_id:
                break
    job = await kernel.job(submission.prompt_id)
    assert job is not None
    return job


def shown(job: Job) -> Any:
    assert job.outcome is not None
    return job.outcome.outputs["1"]["text"]


async def test_a_document_runs_and_stays_with_the_job() -> None:
    async with kernel_in_memory([show]) as kernel:
        plugin.on_startup(kernel=kernel)
        job = await ended(kernel, drawn("hello"))
        assert shown(job) == ["hello"]
        assert job.graph == {"1": {"class_type": "Show", "inputs": {"text": "hello"}, "_meta": {"title": "Show"}}}
        assert job.extra_data["extra_pnginfo"] == {"workflow": drawn("hello")}


async def test_what_the_client_says_of_the_metadata_stays() -> None:
    async with kernel_in_memory([show]) as kernel:
        plugin.on_startup(kernel=kernel)
        given: dict[str, Any] = {"extra_pnginfo": {"workflow": {"nodes": []}, "more": 1}, "other": 2}
        job = await ended(kernel, drawn("hello"), extra_data=given)
        assert job.extra_data == given
        strange = await ended(kernel, drawn("hello"), extra_data={"extra_pnginfo": "?"})
        assert strange.extra_data == {"extra_pnginfo": "?"}


async def test_a_prompt_goes_through_untouched() -> None:
    async with kernel_in_memory([show]) as kernel:
        plugin.on_startup(kernel=kernel)
        job = await ended(kernel, GRAPH)
        assert (job.graph, job.extra_data, shown(job)) == (GRAPH, {}, ["{a|b}"])


async def test_a_document_that_cannot_be_converted_is_refused_by_node() -> None:
    async with kernel_in_memory([show]) as kernel:
        plugin.on_startup(kernel=kernel)
        with pytest.raises(InvalidPrompt) as caught:
            await kernel.submit(PromptRequest(graph=drawn("x", "Shoe")))
        assert caught.value.type == "unknown_node_type"
        assert list(caught.value.node_errors) == ["1"]
        assert kernel.queue_remaining() == 0


async def test_the_same_request_twice_is_one_job_though_its_text_has_choices() -> None:
    document = drawn("{a|b|c|d|e|f|g|h}{a|b|c|d|e|f|g|h}{a|b|c|d|e|f|g|h}")
    async with kernel_in_memory([show]) as kernel:
        plugin.on_startup(kernel=kernel)
        first = await ended(kernel, document, idempotency_key="once")
        again = await kernel.submit(PromptRequest(graph=document, idempotency_key="once"))
        assert (again.repeated, again.prompt_id) == (True, first.prompt_id)


async def test_many_documents_at_once() -> None:
    async with kernel_in_memory([show]) as kernel:
        plugin.on_startup(kernel=kernel)
        jobs = await asyncio.gather(*(ended(kernel, drawn(str(number))) for number in range(30)))
        assert sorted(shown(job)[0] for job in jobs) == sorted(map(str, range(30)))
