"""The kernel as schedulers see it: the other end of the sdk's Scheduler protocol."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk.errors import PluginError
from comfykernel_sdk.events import ExecutionStarted, JobQueued
from comfykernel_sdk.jobs import JobState
from comfykernel_sdk.scheduler import Assignment, Catalog, WorkerCommand, WorkerStatus

if TYPE_CHECKING:
    from comfykernel_sdk.events import Event
    from comfykernel_sdk.jobs import Outcome
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import JobStore

    from .kernel import LocalKernel

log = logging.getLogger(__name__)
worker_log = logging.getLogger("comfykernel.worker")

ENGINE_FACTORY: Final = "comfykernel.engine:create_engine"
WORKER_GROUP: Final = "comfykernel.worker"
"""Entry points of the modules that are worker processes; ``default`` is used."""


class LocalSchedulerHost:
    """Implements the sdk's SchedulerHost over the kernel's queue, bus and catalog."""

    def __init__(self, kernel: LocalKernel, store: JobStore) -> None:
        self.settings: Settings = kernel.settings
        self._kernel = kernel
        self._store = store

    def worker_command(self, device: str) -> WorkerCommand:
        """How to start a worker process for a device."""
        found = entry_points(group=WORKER_GROUP, name="default")
        if not found:
            raise PluginError("No worker process is installed.", hint="Install comfykernel-scheduler-local.")
        return WorkerCommand(
            argv=[sys.executable, "-m", found["default"].module],
            env={
                "COMFYKERNEL_ENGINE": ENGINE_FACTORY,
                "COMFYKERNEL_SETTINGS": msgspec.json.encode(self.settings).decode(),
                "COMFYKERNEL_DEVICE": device,
            },
        )

    def engine_factory(self) -> str:
        """Makes an engine in the current process."""
        return ENGINE_FACTORY

    async def take(self, worker: str) -> Assignment:
        """Wait for the next job and mark it as running there."""
        job = await self._kernel.start_next(worker)
        return Assignment(
            prompt_id=job.prompt_id,
            graph=job.graph,
            outputs_to_execute=job.outputs_to_execute,
            extra_data={**job.extra_data, **job.secrets},
            client_id=job.client_id,
            attempt=job.attempts,
            user=job.user,
        )

    def emit(self, event: Event) -> None:
        """Pass on what a worker says about the job it runs."""
        self._kernel.bus.publish(event)
        if isinstance(event, ExecutionStarted):
            log.debug("Worker %s begins job %s.", event.worker, event.prompt_id)
            if event.prompt_id in self._kernel.queue.running:
                self._kernel.queue.begun.add(event.prompt_id)
            if event.prompt_id in self._kernel.cancel_requested:
                self._kernel.in_background(self._kernel.interrupt(event.prompt_id))

    async def finish(self, prompt_id: str, outcome: Outcome) -> None:
        """The job has ended; returns when that is on disk."""
        await self._kernel.end(prompt_id, outcome)

    async def lost(
        self, prompt_id: str, reason: str, *, node_id: str = "", node_type: str = "", blameless: bool = False
    ) -> None:
        """The worker died under this job: queue it again, or fail it with the reason."""
        kernel = self._kernel
        job = kernel.queue.running.get(prompt_id)
        if job is None:
            return
        job.attempts -= blameless
        if prompt_id in kernel.cancel_requested:
            await kernel.cancel_lost(job, node_id=node_id, node_type=node_type)
        elif job.attempts >= self.settings.jobs.max_attempts:
            text = f"The worker was lost {job.attempts} times while it ran this job. {reason}"
            await kernel.fail(job, text, node_id=node_id, node_type=node_type)
        else:
            log.warning("Job %s lost its worker and is queued again. %s", prompt_id, reason)
            await self._store.requeue(prompt_id, attempts=job.attempts)
            job.state = JobState.QUEUED
            kernel.queue.put(job)
            kernel.bus.publish(JobQueued(prompt_id=prompt_id, number=job.number))
            kernel.announce_queue()

    def set_catalog(self, catalog: Catalog) -> None:
        """A worker is ready and has told its nodes."""
        self._kernel.catalog.set(catalog)

    def report_worker(self, status: WorkerStatus) -> None:
        """The state of a worker has changed."""
        if status.state == "failed":
            self._kernel.catalog.report_problem(f"Worker {status.name} does not start: {status.error}")

    def log_line(self, text: str) -> None:
        """A line that a worker printed."""
        worker_log.debug("%s", text)
