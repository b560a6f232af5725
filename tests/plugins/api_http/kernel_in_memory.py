"""A kernel whose runs are scripted by the test: real storage of files, everything else in memory."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import uuid
from typing import TYPE_CHECKING, Unpack

import msgspec

from comfykernel_sdk.errors import Conflict, InvalidPrompt
from comfykernel_sdk.events import Event, ExecutionStarted, JobFinished, NumberedEvent, QueueChanged
from comfykernel_sdk.jobs import EndedFilter, EndedKey, EndedQuestion, Job, JobState, Outcome, PromptRequest, Submission
from comfykernel_sdk.nodes import NodeSpec
from comfykernel_sdk.scheduler import DeviceStatus, WorkerStatus
from comfykernel_sdk.transport import BusEvent, Catalogued, PluginInfo
from comfykernel_storage_fs.plugin import make_storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.transport import SubmitFilter


ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class MemorySubscription:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[BusEvent | None] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[BusEvent]:
        while (event := await self.queue.get()) is not None:
            yield event

    def close(self) -> None:
        self.queue.put_nowait(None)


class MemoryKernel:
    """Implements the sdk's Kernel. A test plays the scheduler: ``start``, ``say``, ``end``."""

    version = "9.9.9"

    def __init__(self, settings: Settings) -> None:
        storage = make_storage(settings)
        self.settings = settings
        self.files, self.models, self.users = storage.files, storage.models, storage.users
        self.jobs: dict[str, Job] = {}
        self.freed: list[tuple[bool, bool]] = []
        self.interrupted: list[str | None] = []
        self.cancelled: list[str] = []
        self.hold_replay: asyncio.Event | None = None
        self.specs: dict[str, NodeSpec] = {}
        self.plugin_list: list[PluginInfo] = []
        self.packs: list[JsonObject] = []
        self.additions: list[object] = []
        self.run_at_once = False
        self.told: dict[str, list[Event]] = {}
        self._numbers = itertools.count()
        self._sequences = itertools.count(1)
        self._listeners: list[MemorySubscription] = []

    # -- what the test does ---------------------------------------------------------------------

    def publish(self, event: Event | QueueChanged) -> None:
        job = None if isinstance(event, QueueChanged) else self.jobs.get(event.prompt_id)
        if not isinstance(event, QueueChanged):
            self.told.setdefault(event.prompt_id, []).append(event)
        bus_event = BusEvent(event, 1, job.client_id if job else None, job.user if job else "default")
        for listener in self._listeners:
            listener.queue.put_nowait(bus_event)

    def announce(self) -> None:
        self.publish(QueueChanged(queue_remaining=self.queue_remaining()))

    def start(self, prompt_id: str) -> None:
        self.jobs[prompt_id].state = JobState.RUNNING
        self.announce()
        self.publish(ExecutionStarted(prompt_id=prompt_id))

    def end(self, prompt_id: str, outcome: Outcome | None = None) -> None:
        outcome = outcome or Outcome(status="done")
        job = self.jobs[prompt_id]
        job.state, job.outcome, job.ended_ms = JobState(outcome.status), outcome, next(self._numbers)
        self.announce()
        self.publish(JobFinished(prompt_id=prompt_id, status=outcome.status))

    # -- the kernel -----------------------------------------------------------------------------

    async def submit(self, request: PromptRequest) -> Submission:
        if not request.graph:
            raise InvalidPrompt("Prompt has no outputs", type="prompt_no_outputs")
        for job in self.jobs.values():
            if request.idempotency_key and job.idempotency_key == request.idempotency_key:
                return Submission(prompt_id=job.prompt_id, number=job.number, repeated=True)
        prompt_id = request.prompt_id or str(uuid.uuid4())
        if prompt_id in self.jobs and not self.jobs[prompt_id].state.ended:
            raise Conflict("There is a prompt with this id.", type="prompt_id_taken")
        number = next(self._numbers) if request.number is None else request.number
        self.jobs[prompt_id] = Job(
            prompt_id=prompt_id,
            number=number,
            sequence=next(self._sequences),
            graph=request.graph,
            extra_data=request.extra_data,
            outputs_to_execute=list(request.partial_execution_targets or request.graph),
            client_id=request.client_id,
            user=request.user,
            idempotency_key=request.idempotency_key,
        )
        self.announce()
        if self.run_at_once:
            self.start(prompt_id)
            self.end(prompt_id)
        await asyncio.sleep(0)
        return Submission(prompt_id=prompt_id, number=number)

    async def validate_only(self, request: PromptRequest) -> dict[str, JsonObject]:
        return {}

    def _in(self, *states: JobState, user: str | None = None) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states and user in (None, job.user)]

    def queue_remaining(self) -> int:
        return len(self._in(JobState.QUEUED, JobState.RUNNING))

    def running(self) -> list[Job]:
        return self._in(JobState.RUNNING)

    def pending(self) -> list[Job]:
        return sorted(self._in(JobState.QUEUED), key=lambda job: job.number)

    async def delete_pending(self, prompt_ids: list[str], *, user: str | None = None) -> list[str]:
        gone = [job.prompt_id for job in self._in(JobState.QUEUED, user=user) if job.prompt_id in prompt_ids]
        for id in gone:
            del self.jobs[id]
        return gone

    async def clear_pending(self, *, user: str | None = None) -> int:
        return len(await self.delete_pending([job.prompt_id for job in self.pending()], user=user))

    async def interrupt(self, prompt_id: str | None = None, *, user: str | None = None) -> bool:
        found = [job for job in self._in(JobState.RUNNING, user=user) if prompt_id in (None, job.prompt_id)]
        self.interrupted.append(prompt_id)
        self.cancelled += [job.prompt_id for job in found]
        return bool(found)

    async def cancel(self, prompt_id: str, *, user: str | None = None) -> bool:
        return bool(await self.delete_pending([prompt_id], user=user)) or await self.interrupt(prompt_id, user=user)

    async def job(self, prompt_id: str) -> Job | None:
        return self.jobs.get(prompt_id)

    async def history(self, **question: Unpack[EndedQuestion]) -> list[Job]:
        return self._page(question)

    def _page(self, question: EndedQuestion) -> list[Job]:
        order = question.get("order", "end")

        def rank(job: Job) -> int:
            ended = job.ended_ms or 0
            return {"end": ended, "creation": job.sequence, "duration": ended - (job.started_ms or ended)}[order]

        ended = sorted(self._ended(question), key=rank, reverse=question.get("newest_first", False))
        return ended[question.get("offset", 0) :][: question.get("limit")]

    async def history_keys(self, **question: Unpack[EndedQuestion]) -> list[EndedKey]:
        jobs = self._page(question)
        return [EndedKey(job.prompt_id, job.sequence, job.started_ms, job.ended_ms or 0) for job in jobs]

    async def count_history(self, **filter: Unpack[EndedFilter]) -> int:
        return len(self._ended(filter))

    def _ended(self, filter: EndedFilter) -> list[Job]:
        states = filter.get("states")
        found = self._in(*(ENDED if states is None else states), user=filter.get("user"))
        return [job for job in found if job.state.ended and filter.get("workflow_id") in (None, job.workflow_id)]

    async def delete_history(self, prompt_ids: list[str], *, user: str | None = None) -> None:
        for job in await self.history(user=user):
            if job.prompt_id in prompt_ids:
                del self.jobs[job.prompt_id]

    async def clear_history(self, *, user: str | None = None) -> None:
        await self.delete_history(list(self.jobs), user=user)

    def subscribe(self, *, limit: int = 10_000) -> MemorySubscription:
        subscription = MemorySubscription()
        self._listeners.append(subscription)
        return subscription

    async def replay(self, prompt_id: str, *, since: int = 0) -> AsyncIterator[NumberedEvent]:
        for number, event in enumerate(self.told.get(prompt_id, []), 1):
            if number > since:
                yield NumberedEvent(number, event)
        if self.hold_replay is not None:
            await self.hold_replay.wait()

    async def object_info(self) -> Catalogued:
        data = b'{"Echo":' + await self.object_info_of("Echo") + b"}"
        return Catalogued(data, gzip.compress(data), '"v1"')

    async def object_info_of(self, class_type: str) -> bytes:
        return msgspec.json.encode({class_type: {"name": class_type}} if class_type.startswith("Echo") else {})

    def node_specs(self) -> dict[str, NodeSpec]:
        return self.specs

    def plugins(self) -> list[PluginInfo]:
        return self.plugin_list

    def node_packs(self) -> list[JsonObject]:
        return self.packs

    def call_hook(self, name: str, **arguments: object) -> list[object]:
        implementations = [found for plugin in self.additions if (found := getattr(plugin, name, None)) is not None]
        return [result for implementation in implementations if (result := implementation(**arguments)) is not None]

    def workers(self) -> list[WorkerStatus]:
        return [
            WorkerStatus(name="cpu-0", device=DeviceStatus(name="cpu", type="cpu"), state="idle", torch_version="2.0")
        ]

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        self.freed.append((unload_models, free_memory))

    def on_submit(self, filter: SubmitFilter) -> None:
        raise NotImplementedError
