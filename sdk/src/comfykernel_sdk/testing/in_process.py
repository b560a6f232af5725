"""A scheduler without processes: the engine runs in a thread of the server, for tests and small programs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from importlib import import_module
from typing import TYPE_CHECKING, cast

from ..errors import Unavailable
from ..scheduler import DeviceStatus, WorkerStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..jobs import Outcome
    from ..scheduler import Assignment, Engine, SchedulerHost, ValidationAnswer, ValidationQuestion

logger = logging.getLogger(__name__)

NAME = "in-process"
STOP_S = 10.0
"""How long a node may take to end when the scheduler stops."""


class InProcessScheduler:
    """Runs one job at a time in a thread with an event loop of its own.

    ``engine`` is made by the host's engine factory when none is given. A node that crashes the process crashes
    everything: that is what other schedulers are for.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine = engine
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=NAME, daemon=True)
        self._task: asyncio.Task[None] | None = None
        self._running: str | None = None
        self._between_prompts = asyncio.Lock()

    async def start(self, host: SchedulerHost) -> None:
        """Make the engine and begin to take jobs."""
        self._thread.start()
        if self._engine is None:
            module, _, function = host.engine_factory().partition(":")
            create = cast("Callable[..., Engine]", getattr(import_module(module), function))
            self._engine = await asyncio.to_thread(create, host.settings)
        host.set_catalog(self._engine.catalog)
        self._task = asyncio.create_task(self._take_jobs(host, self._engine), name=NAME)

    async def stop(self) -> None:
        """Let the running node end and take no more jobs; the job stays marked as running."""
        if self._task is not None:
            if self._engine is not None and self._running is not None:
                self._engine.interrupt(self._running)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._thread.is_alive():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop))
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join, STOP_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def interrupt(self, prompt_id: str) -> bool:
        """Cancel a running job."""
        return self._engine is not None and self._engine.interrupt(prompt_id)

    async def validate(self, questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        """Ask the nodes' own validators in a thread."""
        assert self._engine is not None, "the scheduler was not started"
        return await asyncio.to_thread(self._engine.validate, questions)

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Drop models or cached outputs as soon as no prompt runs."""
        async with self._between_prompts:
            if self._engine is not None:
                self._engine.free(unload_models=unload_models, free_memory=free_memory)

    async def restart(self, *, finish_s: float) -> None:
        """The nodes live in this process: it can't be done."""
        raise Unavailable("Nodes that run in the server's own process can't be started anew.")

    def workers(self) -> list[WorkerStatus]:
        """The one worker."""
        device = (self._engine.device_status() if self._engine else None) or DeviceStatus(name="cpu", type="cpu")
        return [
            WorkerStatus(name=NAME, device=device, state="busy" if self._running else "idle", prompt_id=self._running)
        ]

    async def _take_jobs(self, host: SchedulerHost, engine: Engine) -> None:
        while True:
            host.report_worker(self.workers()[0])
            assignment = await host.take(NAME)
            async with self._between_prompts:
                self._running = assignment.prompt_id
                host.report_worker(self.workers()[0])
                try:
                    outcome = await self._run(host, engine, assignment)
                except Exception as error:
                    logger.exception("The engine failed")
                    await host.lost(assignment.prompt_id, f"The engine failed: {error!r}")
                    continue
                finally:
                    self._running = None
            await host.finish(assignment.prompt_id, outcome)

    async def _run(self, host: SchedulerHost, engine: Engine, assignment: Assignment) -> Outcome:
        loop = asyncio.get_running_loop()
        run = engine.run(assignment, lambda event: _pass_on(loop, host, event))
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run, self._loop))


async def _end_tasks() -> None:
    """Wait for the runs that were cancelled."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_S)


def _pass_on(loop: asyncio.AbstractEventLoop, host: SchedulerHost, event: object) -> None:
    with contextlib.suppress(RuntimeError):  # the server's loop is closed
        loop.call_soon_threadsafe(host.emit, event)  # type: ignore[arg-type]
