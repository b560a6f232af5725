"""The kernel's queue over a real store: order, durability, retries, cancelling, history, replay."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfykernel.catalog import CatalogKeeper
from comfykernel.kernel import LocalKernel
from comfykernel.plugin_host import PluginHost
from comfykernel.scheduler_host import LocalSchedulerHost
from comfykernel_sdk.errors import BadInput, Conflict, InvalidPrompt
from comfykernel_sdk.events import (
    ExecutionStarted,
    ExecutionSucceeded,
    JobFinished,
    JobQueued,
    NodeOutput,
    NodePlace,
    NodePreview,
    QueueChanged,
)
from comfykernel_sdk.jobs import Job, JobState, Outcome, PromptRequest
from comfykernel_sdk.nodes import InputSpec, NodeSpec, OutputSpec
from comfykernel_sdk.scheduler import Assignment, Catalog, ValidationAnswer, ValidationQuestion, WorkerStatus
from comfykernel_sdk.settings import JobSettings, PathSettings, Settings

SHOW = NodeSpec(
    id="Show",
    inputs=[InputSpec(name="value", type="*")],
    outputs=[OutputSpec(type="*", name="*")],
    output_node=True,
)


class HandScheduler:
    """A scheduler whose worker is the test: it takes, says and ends by hand."""

    def __init__(self) -> None:
        self.interrupted: list[str] = []
        self.freed: list[tuple[bool, bool]] = []
        self.restarted: list[float] = []

    async def start(self, host: Any) -> None:
        raise AssertionError("the test is the worker")

    async def stop(self) -> None:
        """Nothing runs."""

    async def interrupt(self, prompt_id: str) -> bool:
        self.interrupted.append(prompt_id)
        return True

    async def validate(self, questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        return [ValidationAnswer(node_id=q.node_id) for q in questions]

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        self.freed.append((unload_models, free_memory))

    async def restart(self, *, finish_s: float) -> None:
        self.restarted.append(finish_s)

    def workers(self) -> list[WorkerStatus]:
        return []


class House:
    """A kernel with its host and the scheduler in the test's hands."""

    def __init__(self, kernel: LocalKernel, host: LocalSchedulerHost, scheduler: HandScheduler) -> None:
        self.kernel, self.host, self.scheduler = kernel, host, scheduler

    async def submit(self, value: object = "a", **more: Any) -> str:
        graph = {"1": {"class_type": "Show", "inputs": {"value": value}}}
        return (await self.kernel.submit(PromptRequest(graph=graph, **more))).prompt_id

    async def take(self) -> Assignment:
        return await asyncio.wait_for(self.host.take("hand"), 5)

    async def run(self, prompt_id: str, *, status: Any = "done") -> None:
        self.host.emit(ExecutionStarted(prompt_id=prompt_id))
        self.host.emit(ExecutionSucceeded(prompt_id=prompt_id))
        await self.host.finish(prompt_id, Outcome(status=status, outputs={"1": {"text": ["x"]}}))


@contextlib.asynccontextmanager
async def open_house(base: Path, **jobs: Any) -> AsyncIterator[House]:
    settings = Settings(paths=PathSettings(base=str(base)), jobs=JobSettings(**jobs))
    host = PluginHost(settings, side="server")
    host.load()
    storage = host.make_storage()
    store = await storage.open_jobs()
    catalog = CatalogKeeper(storage, base / "state", "f")
    catalog.set(Catalog(nodes={"Show": SHOW}, fingerprint="f"))
    kernel = LocalKernel(settings, storage, store, catalog, plugins=host.infos)
    await kernel.recover()
    kernel.scheduler = scheduler = HandScheduler()
    try:
        yield House(kernel, LocalSchedulerHost(kernel, store), scheduler)
    finally:
        await kernel.bus.flush()
        await store.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


async def test_lower_numbers_run_first_and_front_before_all(house: House) -> None:
    ids = [await house.submit(n) for n in range(3)]
    early = await house.submit("early", number=-0.5)
    front = await house.submit("front", front=True)
    assert [j.prompt_id for j in house.kernel.pending()] == [front, early, *ids]
    assert [(await house.take()).prompt_id for _ in range(5)] == [front, early, *ids]


async def test_numbers_are_counted_and_a_given_one_is_a_float(house: House) -> None:
    async def number(**more: Any) -> object:
        graph = {"1": {"class_type": "Show", "inputs": {"value": 1}}}
        return (await house.kernel.submit(PromptRequest(graph=graph, **more))).number

    assert [await number(), await number(front=True), await number(number=7)] == [0, -1, 7.0]
    with pytest.raises(InvalidPrompt):
        await house.kernel.submit(PromptRequest(graph={}))
    assert await number() == 4, "refused prompts are counted too"


async def test_a_job_ends_once_and_history_keeps_it_without_secrets(house: House) -> None:
    id = await house.submit(client_id="c", extra_data={"mine": 1, "api_key_comfy_org": "k"})
    assignment = await house.take()
    assert assignment.extra_data == {"mine": 1, "client_id": "c", "api_key_comfy_org": "k"}
    await house.run(id)
    await house.host.finish(id, Outcome(status="failed"))
    (job,) = await house.kernel.history()
    assert (job.prompt_id, job.state, job.extra_data) == (id, JobState.DONE, {"mine": 1, "client_id": "c"})
    assert job.secrets == {}
    assert house.kernel.queue_remaining() == 0


async def test_a_prompt_id_is_unique_among_jobs_that_wait_or_run(house: House) -> None:
    await house.submit(prompt_id="p")
    with pytest.raises(Conflict):
        await house.submit(prompt_id="p")
    await house.take()
    with pytest.raises(Conflict):
        await house.submit(prompt_id="p")
    await house.run("p")
    await house.submit("again", prompt_id="p")
    await house.take()
    await house.run("p")
    assert [j.prompt_id for j in await house.kernel.history()] == ["p"]


async def test_many_submissions_with_one_id_at_once_give_one_job(house: House) -> None:
    results = await asyncio.gather(*(house.submit(n, prompt_id="p") for n in range(10)), return_exceptions=True)
    assert sum(isinstance(r, Conflict) for r in results) == 9
    assert house.kernel.queue_remaining() == 1


async def test_jobs_are_there_after_a_restart_in_their_old_order(tmp_path: Path) -> None:
    async with open_house(tmp_path) as first:
        ids = [await first.submit(n) for n in range(4)]
        assert (await first.take()).prompt_id == ids[0]
    async with open_house(tmp_path) as second:
        assert [j.prompt_id for j in second.kernel.pending()] == ids
        later = await second.submit("later")
        assert [(await second.take()).prompt_id for _ in range(5)] == [*ids, later]


async def test_a_worker_ended_on_purpose_costs_its_job_no_attempt(house: House) -> None:
    id = await house.submit()
    for _ in range(house.kernel.settings.jobs.max_attempts + 1):
        assert (await house.take()).attempt == 1
        await house.host.lost(id, "It was started anew.", blameless=True)
        assert [job.prompt_id for job in house.kernel.pending()] == [id]
    await house.take()
    await house.run(id)
    (job,) = await house.kernel.history()
    assert job.state is JobState.DONE


async def test_workers_are_restarted_by_the_scheduler(house: House) -> None:
    await house.kernel.restart_workers(finish_s=2.5)
    assert house.scheduler.restarted == [2.5]


async def test_a_lost_worker_is_forgiven_once(house: House) -> None:
    id = await house.submit()
    for attempt in (1, 2):
        assignment = await house.take()
        assert (assignment.prompt_id, assignment.attempt) == (id, attempt)
        house.host.emit(ExecutionStarted(prompt_id=id, attempt=attempt))
        place = NodePlace(node_id=str(attempt), display_node_id=str(attempt))
        house.host.emit(NodeOutput(prompt_id=id, place=place, output={"text": [attempt]}))
        await house.host.lost(id, "It was killed by SIGKILL.", node_id="1", node_type="Show")
    (job,) = await house.kernel.history()
    assert job.state is JobState.FAILED
    assert job.outcome is not None
    assert job.outcome.outputs == {"2": {"text": [2]}}, "what the last attempt had made is kept"
    kind, message = job.outcome.messages[-1]
    assert kind == "execution_error"
    assert message["node_id"] == "1"
    assert "SIGKILL" in str(message["exception_message"])


async def test_an_interrupt_before_the_worker_begins_is_repeated_when_it_does(house: House) -> None:
    id = await house.submit()
    await house.take()
    assert await house.kernel.interrupt(id)
    assert not await house.kernel.interrupt("other")
    house.host.emit(ExecutionStarted(prompt_id=id))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert house.scheduler.interrupted == [id, id]
    await house.host.lost(id, "killed after its grace")
    (job,) = await house.kernel.history()
    assert job.state is JobState.CANCELLED
    assert job.outcome is not None
    assert job.outcome.messages[-1][0] == "execution_interrupted"


async def test_waiting_jobs_can_be_deleted_and_running_ones_not(house: House) -> None:
    running, first, second = [await house.submit(n) for n in range(3)]
    await house.take()
    assert await house.kernel.delete_pending([running, first, "unknown"]) == [first]
    assert await house.kernel.clear_pending() == 1
    assert [j.prompt_id for j in house.kernel.pending()] == [running]
    house.host.emit(ExecutionStarted(prompt_id=running))
    assert [j.prompt_id for j in house.kernel.running()] == [running]
    assert house.kernel.pending() == []
    assert await house.kernel.job(second) is None


async def test_history_is_paged_and_forgotten(house: House) -> None:
    ids = []
    for n in range(5):
        ids.append(await house.submit(n))
        await house.take()
        await house.run(ids[-1])

    async def listed(**more: Any) -> list[str]:
        return [j.prompt_id for j in await house.kernel.history(**more)]

    assert await listed() == ids
    assert await listed(limit=2, offset=1) == ids[1:3]
    assert await listed(limit=2, newest_first=True) == [ids[4], ids[3]]
    await house.kernel.delete_history([ids[0], "unknown"])
    assert await listed() == ids[1:]
    await house.kernel.clear_history()
    assert await listed() == []


async def test_the_oldest_jobs_beyond_the_limit_are_forgotten(tmp_path: Path) -> None:
    async with open_house(tmp_path, keep_history=3) as house:
        ids = []
        for n in range(50):
            ids.append(await house.submit(n))
            await house.take()
            await house.run(ids[-1])
        assert [j.prompt_id for j in await house.kernel.history()] == ids[-3:]


async def test_events_are_numbered_and_can_be_replayed_from_any_number(house: House) -> None:
    id = await house.submit()
    early = asyncio.create_task(collect(house, id))
    await asyncio.sleep(0)
    await house.take()
    place = NodePlace(node_id="1", display_node_id="1")
    house.host.emit(NodePreview(prompt_id=id, place=place, image=b"x", format="PNG"))
    await house.run(id)
    seen = await asyncio.wait_for(early, 5)
    numbers = [n for n, _ in seen]
    assert numbers == sorted(set(numbers))
    assert isinstance(seen[-1][1], JobFinished)
    late = await collect(house, id)
    assert [type(e) for _, e in late] == [type(e) for _, e in seen if not isinstance(e, NodePreview)]
    assert (late[0], late[0][0], type(late[0][1])) == (seen[0], 1, JobQueued)
    assert await collect(house, id, since=late[1][0]) == late[2:]


async def collect(house: House, id: str, *, since: int = 0) -> list[tuple[int, object]]:
    return [(e.number, e.event) async for e in house.kernel.replay(id, since=since)]


async def test_a_listener_that_does_not_read_loses_previews_then_is_closed(house: House) -> None:
    subscription = house.kernel.subscribe(limit=5)
    id = await house.submit()
    await house.take()
    place = NodePlace(node_id="1", display_node_id="1")
    for _ in range(20):
        house.host.emit(NodePreview(prompt_id=id, place=place, image=b"x", format="PNG"))
    for _ in range(20):
        house.kernel.announce_queue()
    events = [e.event async for e in subscription]
    assert len(events) == 5
    assert not any(isinstance(e, NodePreview) for e in events)
    assert any(isinstance(e, QueueChanged) for e in events)


async def test_a_submit_filter_may_change_the_request(house: House) -> None:
    def shout(request: PromptRequest) -> PromptRequest:
        request.graph["1"]["inputs"]["value"] = "LOUD"  # type: ignore[index,call-overload]
        return request

    house.kernel.on_submit(shout)
    await house.submit("quiet")
    assert (await house.take()).graph["1"]["inputs"] == {"value": "LOUD"}


async def test_numbers_that_no_store_can_hold_are_refused(house: House) -> None:
    with pytest.raises(BadInput):
        await house.submit(2**70)
    assert house.kernel.queue_remaining() == 0


async def test_an_idempotency_key_outlives_the_job(house: House) -> None:
    id = await house.submit(idempotency_key="k")
    await house.take()
    await house.run(id)
    assert await house.submit(idempotency_key="k") == id
    with pytest.raises(Conflict):
        await house.submit("other", idempotency_key="k")
    jobs: list[Job] = await house.kernel.history()
    assert len(jobs) == 1


async def test_a_taker_that_is_cancelled_when_it_is_woken_leaves_the_job_to_the_next(house: House) -> None:
    first, second = (asyncio.create_task(house.host.take(f"hand {n}")) for n in range(2))
    await asyncio.sleep(0)
    job = house.submit()
    id = await job
    first.cancel()
    await asyncio.wait([first])
    taken = await asyncio.wait_for(second, 5) if first.cancelled() else await first
    assert taken.prompt_id == id


async def test_the_state_of_node_packs_is_what_the_workers_told(house: House) -> None:
    def state() -> tuple[str, str]:
        (info,) = (i for i in house.kernel.plugins() if (i.name, i.kind) == ("core", "node"))
        return info.state, info.error

    def tell(error: str) -> None:
        plugin = {"name": "core", "distribution": "comfykernel-core-nodes", "error": error}
        other = {**plugin, "name": "another", "error": "" if error else "Traceback: another"}
        packs = [{"name": each["name"], "plugin": each} for each in (plugin, other)]
        house.host.set_catalog(Catalog(nodes={"Show": SHOW}, packs=packs))

    assert state() == ("found", "")
    tell("Traceback: broken")
    assert state() == ("failed", "Traceback: broken")
    tell("")
    assert state() == ("started", "")
