"""The kernel: takes prompts from transports, keeps jobs durable, hands them to the scheduler, tells everybody."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
from inspect import isawaitable
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk.errors import Conflict, Unavailable
from comfykernel_sdk.events import (
    ExecutionFailed,
    ExecutionInterrupted,
    JobFinished,
    JobQueued,
    NumberedEvent,
    now_ms,
)
from comfykernel_sdk.jobs import Job, JobState, Outcome, PromptRequest, Submission, new_prompt_id
from comfykernel_sdk.outcomes import Account

from . import __version__
from .bus import Bus, BusSubscription
from .job_queue import JobQueue
from .validation import Validated, validate_prompt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
    from typing import Unpack

    from comfykernel_sdk.jobs import EndedFilter, EndedKey, EndedQuestion
    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.nodes import NodeSpec
    from comfykernel_sdk.scheduler import Scheduler, WorkerStatus
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import JobStore, Storage
    from comfykernel_sdk.transport import BusEvent, Catalogued, PluginInfo, SubmitFilter

    from .catalog import CatalogKeeper

log = logging.getLogger(__name__)

ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
RESTARTS_PER_JOB: Final = 5
"""Attempts after which a job that ran whenever the server died is given up."""
KEPT_HISTORY_ANSWERS: Final = 8
"""Answers to questions about the history that are kept until the history changes."""
TRIM_EVERY: Final = 50
"""Jobs that may end before the oldest beyond ``jobs.keep_history`` are deleted."""


def no_hook(name: str, **arguments: object) -> list[object]:
    """Calls nobody: a kernel without plugins."""
    return []


class LocalKernel:
    """Implements the sdk's Kernel: what transports see. Used on one event loop."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        store: JobStore,
        catalog: CatalogKeeper,
        *,
        plugins: Callable[[], list[PluginInfo]] = list,
        call_hook: Callable[..., list[object]] = no_hook,
        listener: Callable[[BusEvent], object] | None = None,
    ) -> None:
        self.settings = settings
        self.files, self.models, self.users = storage.files, storage.models, storage.users
        self.version = __version__
        self.catalog = catalog
        self.queue = JobQueue()
        self.bus = Bus(store, listener)
        self.scheduler: Scheduler | None = None
        self.cancel_requested: set[str] = set()
        self._store = store
        self._plugins = plugins
        self._call_hook = call_hook
        self._filters: list[SubmitFilter] = []
        self._refreshers: list[Callable[[], Awaitable[None]]] = []
        self._counter = itertools.count()
        self._submitting: set[str] = set()
        self._history: dict[tuple[tuple[str, object], ...], list[EndedKey]] = {}
        self._background: set[asyncio.Task[object]] = set()
        self._ended_count = itertools.count(1)

    async def recover(self) -> int:
        """Take up the jobs that the last run of the server left; returns how many."""
        jobs = await self._store.unfinished()
        for job in jobs:
            self.bus.open_job(job, last_number=max(await self._store.last_event_number(job.prompt_id), 1))
            if job.state is JobState.RUNNING:
                if job.attempts >= RESTARTS_PER_JOB:
                    self.queue.running[job.prompt_id] = job
                    await self.fail(job, f"The server died {job.attempts} times while this job ran.")
                    continue
                await self._store.requeue(job.prompt_id, attempts=job.attempts)
                job.state = JobState.QUEUED
            self.queue.put(job)
        highest = max((int(abs(job.number)) for job in jobs), default=-1)
        self._counter = itertools.count(highest + 1)
        return len(jobs)

    async def submit(self, request: PromptRequest) -> Submission:
        """Validate a prompt and queue it; see the sdk."""
        number = self._number(request)
        digest = "" if request.idempotency_key is None else _digest(request)
        for filter in self._filters:
            changed = filter(request)
            request = await changed if isawaitable(changed) else changed
        if (repeated := await self._repeated(request, digest)) is not None:
            return repeated
        prompt_id = request.prompt_id if request.prompt_id is not None else new_prompt_id()
        if prompt_id in self._submitting or self.queue.find(prompt_id) is not None:
            raise _taken(prompt_id)
        self._submitting.add(prompt_id)
        try:
            validated = await self._validate(request)
            job = await self._store.add(self._job(request, validated, prompt_id, number, digest))
            self._history = {}
            self.bus.open_job(job)
            self.queue.put(job)
        finally:
            self._submitting.discard(prompt_id)
        self.bus.publish(_queued(job), is_kept=True)
        self.announce_queue()
        return Submission(prompt_id=prompt_id, number=number, node_errors=validated.node_errors)

    async def validate_only(self, request: PromptRequest) -> dict[str, JsonObject]:
        """Errors by node without queueing."""
        return (await self._validate(request)).node_errors  # type: ignore[return-value]

    def _number(self, request: PromptRequest) -> int | float:
        counted = next(self._counter)
        if request.number is not None:
            return float(request.number)
        return -counted if request.front else counted

    async def _repeated(self, request: PromptRequest, digest: str) -> Submission | None:
        if request.idempotency_key is None:
            return None
        job = await self._store.by_idempotency_key(request.user, request.idempotency_key)
        if job is None:
            return None
        if job.request_digest != digest:
            raise Conflict(
                "This idempotency key belongs to another request.",
                details=f"It was used for prompt {job.prompt_id}.",
                hint="Use a new key for a new request.",
                type="idempotency_key_reused",
            )
        number = int(job.number) if job.number.is_integer() else job.number
        return Submission(prompt_id=job.prompt_id, number=number, repeated=True)

    async def _validate(self, request: PromptRequest) -> Validated:
        await self.catalog.wait()
        if self.scheduler is None:
            raise Unavailable("The server is still starting.")
        return await validate_prompt(
            request.graph,
            self.catalog.specs,
            self.catalog.choices_now(),
            self.scheduler.validate,
            targets=request.partial_execution_targets,
            replacements=self.catalog.replacements,
        )

    def _job(self, request: PromptRequest, validated: Validated, prompt_id: str, number: float, digest: str) -> Job:
        secret = self.settings.jobs.secret_keys
        extra = {k: v for k, v in request.extra_data.items() if k not in secret}
        if request.client_id is not None:
            extra["client_id"] = request.client_id
        return Job(
            prompt_id=prompt_id,
            number=float(number),
            graph=validated.graph,
            extra_data=extra,
            secrets={k: v for k, v in request.extra_data.items() if k in secret},
            outputs_to_execute=validated.outputs,
            client_id=request.client_id,
            user=request.user,
            idempotency_key=request.idempotency_key,
            request_digest=digest,
            created_ms=now_ms(),
        )

    def announce_queue(self) -> None:
        """Tell everybody how many jobs wait or run."""
        self.bus.announce_queue(len(self.queue))

    def queue_remaining(self) -> int:
        """Number of jobs that wait or run."""
        return len(self.queue)

    def running(self) -> list[Job]:
        """Jobs that run, in the order in which they were taken; what they do is told before they are listed."""
        return [job for job in self.queue.running.values() if job.prompt_id in self.queue.begun]

    def pending(self) -> list[Job]:
        """Jobs that wait, in the order in which they will run; first those that a worker has taken but not begun."""
        taken = [job for job in self.queue.running.values() if job.prompt_id not in self.queue.begun]
        return taken + self.queue.pending()

    async def delete_pending(self, prompt_ids: list[str], *, user: str | None = None) -> list[str]:
        """Take jobs out of the queue; ids that don't wait are ignored."""
        own = {j.prompt_id for j in self.queue.pending() if user is None or j.user == user}
        gone = self.queue.discard(own & set(prompt_ids))
        if gone:
            await self._store.remove(gone, states=(JobState.QUEUED,))
            for id in gone:
                self.bus.publish(JobFinished(prompt_id=id, status="cancelled"))
                self.bus.forget(id)
            self.announce_queue()
        return gone

    async def clear_pending(self, *, user: str | None = None) -> int:
        """Take all waiting jobs out of the queue."""
        return len(await self.delete_pending([j.prompt_id for j in self.queue.pending()], user=user))

    async def interrupt(self, prompt_id: str | None = None, *, user: str | None = None) -> bool:
        """Cancel what runs."""
        taken = self.queue.running.values()
        found = [j for j in taken if prompt_id in (None, j.prompt_id) and (user is None or j.user == user)]
        for job in found:
            # A job that its worker has not begun yet is cancelled when it says that it begins.
            self.cancel_requested.add(job.prompt_id)
            if self.scheduler is not None:
                await self.scheduler.interrupt(job.prompt_id)
        return bool(found)

    async def cancel(self, prompt_id: str, *, user: str | None = None) -> bool:
        """Cancel a job that waits or runs."""
        return bool(await self.delete_pending([prompt_id], user=user)) or await self.interrupt(prompt_id, user=user)

    async def job(self, prompt_id: str) -> Job | None:
        """A job in whatever state."""
        return self.queue.find(prompt_id) or await self._store.get(prompt_id)

    async def history(self, **question: Unpack[EndedQuestion]) -> list[Job]:
        """Jobs that have ended."""
        return await self._store.ended(**question)

    async def history_keys(self, **question: Unpack[EndedQuestion]) -> list[EndedKey]:
        """The same without what is in them; the answers to clients that ask again and again are kept."""
        # What ends while the store is asked replaces the dictionary: the answer that lacks it is not kept.
        kept, asked = self._history, tuple(sorted(question.items()))
        if (known := kept.get(asked)) is None:
            known = await self._store.ended_keys(**question)
            while len(kept) >= KEPT_HISTORY_ANSWERS:
                kept.pop(next(iter(kept)))
            kept[asked] = known
        return known

    async def count_history(self, **filter: Unpack[EndedFilter]) -> int:
        """How many jobs of this kind are kept."""
        return await self._store.count_ended(**filter)

    async def delete_history(self, prompt_ids: list[str], *, user: str | None = None) -> None:
        """Forget ended jobs; unknown ids are ignored."""
        if user is not None:
            jobs = [await self._store.get(id) for id in prompt_ids]
            prompt_ids = [j.prompt_id for j in jobs if j is not None and j.user == user]
        await self._store.remove(prompt_ids, states=ENDED)
        self._history = {}

    async def clear_history(self, *, user: str | None = None) -> None:
        """Forget all ended jobs."""
        await self._store.remove_all(states=ENDED, user=user)
        self._history = {}

    def subscribe(self, *, limit: int = 10_000) -> BusSubscription:
        """Listen to everything from now on."""
        return self.bus.subscribe(limit)

    async def replay(self, prompt_id: str, *, since: int = 0) -> AsyncIterator[NumberedEvent]:
        """The kept events of a job above a number, then those that come."""
        if since < 1 and (job := await self.job(prompt_id)) is not None:
            yield NumberedEvent(1, _queued(job))
        async with contextlib.aclosing(self.bus.replay(prompt_id, since=max(since, 1))) as events:
            async for event in events:
                yield event

    async def object_info(self) -> Catalogued:
        """All nodes, as ready bytes."""
        await self._refresh()
        return self.catalog.object_info()

    async def object_info_of(self, class_type: str) -> bytes:
        """JSON object with one node, ``{}`` for an unknown class."""
        await self._refresh()
        spec = self.catalog.specs.get(class_type)
        return b"{}" if spec is None else msgspec.json.encode({class_type: self.catalog.node_info(spec)})

    def node_specs(self) -> dict[str, NodeSpec]:
        """The catalog as it is known now."""
        return self.catalog.specs

    def plugins(self) -> list[PluginInfo]:
        """What is installed, chosen, failed; of node packs what the workers told."""
        told = [pack.get("plugin") for pack in self.catalog.catalog.packs]
        errors = {(each["name"], each["distribution"]): str(each["error"]) for each in told if isinstance(each, dict)}
        return [_as_loaded(info, errors.get((info.name, info.distribution))) for info in self._plugins()]

    def node_packs(self) -> list[JsonObject]:
        """What the workers told of their node packs."""
        return self.catalog.catalog.packs

    def call_hook(self, name: str, **arguments: object) -> list[object]:
        """Call a hook that a plugin offers in every plugin that implements it."""
        return self._call_hook(name, **arguments)

    def workers(self) -> list[WorkerStatus]:
        """The workers and their devices."""
        return self.scheduler.workers() if self.scheduler is not None else []

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        """Let workers drop models and cached outputs, after the prompt that runs."""
        if self.scheduler is not None:
            await self.scheduler.free(unload_models=unload_models, free_memory=free_memory)

    async def restart_workers(self, *, finish_s: float) -> None:
        """Start all workers anew, so that they import their nodes again."""
        if self.scheduler is not None:
            await self.scheduler.restart(finish_s=finish_s)

    def on_submit(self, filter: SubmitFilter) -> None:
        """Let a function see and change requests before they are validated."""
        self._filters.append(filter)

    def on_read_nodes(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Await a function before the nodes are told to a client."""
        self._refreshers.append(refresh)

    def update_nodes(self, specs: Mapping[str, NodeSpec]) -> None:
        """Replace the specs of known nodes."""
        catalog = self.catalog.catalog
        self.catalog.hold(msgspec.structs.replace(catalog, nodes={**catalog.nodes, **specs}))

    async def _refresh(self) -> None:
        await self.catalog.wait()
        for refresh in self._refreshers:
            await refresh()

    async def start_next(self, worker: str) -> Job:
        """Wait for the next job and count it as running on a worker."""
        job = await self.queue.take()
        job.state, job.worker = JobState.RUNNING, worker
        job.attempts, job.started_ms = job.attempts + 1, now_ms()
        # Not awaited: should the server die before this is on disk, the job waits and runs again all the same.
        self.in_background(
            self._store.start(job.prompt_id, worker=worker, attempts=job.attempts, started_ms=job.started_ms)
        )
        self.announce_queue()
        return job

    def in_background(self, work: Coroutine[None, None, object]) -> None:
        """Let something run to its end without waiting for it."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def end(self, prompt_id: str, outcome: Outcome) -> None:
        """A running job is over: keep the outcome, then tell everybody."""
        job = self.queue.running.get(prompt_id)
        if job is None:
            log.warning("A worker ended job %s, which does not run.", prompt_id)
            return
        ended_ms = now_ms()
        # Begun together, so that a store that groups its commits writes both in one.
        await asyncio.gather(self.bus.flush(prompt_id), self._store.finish(prompt_id, outcome, ended_ms=ended_ms))
        self._history = {}
        self.queue.end(prompt_id)
        self.cancel_requested.discard(prompt_id)
        self.announce_queue()
        self.bus.publish(JobFinished(prompt_id=prompt_id, status=outcome.status))
        self.bus.forget(prompt_id)
        log.info("Job %s %s after %.2f s.", prompt_id, outcome.status, (ended_ms - (job.started_ms or ended_ms)) / 1000)
        if next(self._ended_count) % TRIM_EVERY == 0:
            await self._store.trim(keep_jobs=self.settings.jobs.keep_history)

    async def cancel_lost(self, job: Job, *, node_id: str = "", node_type: str = "") -> None:
        """End a cancelled job whose worker died before it could stop."""
        self.bus.publish(
            ExecutionInterrupted(prompt_id=job.prompt_id, node_id=node_id, node_type=node_type, executed=[])
        )
        account = Account(await self.bus.kept(job.prompt_id))
        await self.end(job.prompt_id, account.outcome("cancelled"))

    async def fail(self, job: Job, reason: str, *, node_id: str = "", node_type: str = "") -> None:
        """End a running job whose worker could not: it failed for a reason outside of its nodes."""
        self.bus.publish(
            ExecutionFailed(
                prompt_id=job.prompt_id,
                node_id=node_id,
                node_type=node_type,
                executed=[],
                traceback=[],
                exception_message=reason,
                exception_type="WorkerLost",
            )
        )
        account = Account(await self.bus.kept(job.prompt_id))
        await self.end(job.prompt_id, account.outcome("failed", reason=reason))


def _as_loaded(info: PluginInfo, error: str | None) -> PluginInfo:
    """A plugin with nodes is loaded in workers only: its state is what they said of it."""
    if error is None or info.kind != "node" or info.state == "disabled":
        return info
    return msgspec.structs.replace(info, state="failed" if error else "started", error=error)


def _queued(job: Job) -> JobQueued:
    """The first event of a job. It is not kept: the job itself tells all of it."""
    return JobQueued(prompt_id=job.prompt_id, number=job.number, timestamp=job.created_ms)


def _digest(request: PromptRequest) -> str:
    """Tells whether two requests with one idempotency key are the same."""
    same = (request.graph, request.prompt_id, request.extra_data, request.partial_execution_targets)
    return hashlib.blake2b(repr(same).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _taken(prompt_id: str) -> Conflict:
    return Conflict(
        "A job with this prompt_id waits or runs already.",
        details=prompt_id,
        hint="Leave prompt_id out, or repeat the request with the same idempotency key.",
        type="prompt_id_in_use",
    )
