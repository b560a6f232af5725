"""The scheduler ``local``: one supervised worker process for each device of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import Unavailable

from .devices import find_devices
from .supervisor import Supervisor

if TYPE_CHECKING:
    from comfykernel_sdk.scheduler import SchedulerHost, ValidationAnswer, ValidationQuestion, WorkerStatus
    from comfykernel_sdk.settings import Settings

ANSWER_S: Final = 60.0
"""How long a question may wait for a ready worker and its answer: loading node packs takes its time at the start."""
ASKED_TWICE: Final = 2
"""Workers that may die over one question before the asker hears of it."""

logger = logging.getLogger(__name__)


class LocalScheduler:
    """Pulls jobs from the kernel for every worker of this machine.

    ``answer_s`` limits the wait of :meth:`validate`, in seconds.
    """

    def __init__(self, settings: Settings, *, answer_s: float = ANSWER_S) -> None:
        self._settings = settings
        self._answer_s = answer_s
        self._supervisors: list[Supervisor] = []
        self._some_ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self, host: SchedulerHost) -> None:
        """Start the workers; returns without waiting even for the search for devices."""
        self._task = asyncio.create_task(self._run(host), name="local scheduler")

    async def stop(self) -> None:
        """End all workers; none is left when this returns, even when it is cancelled."""
        self._stopping = True
        task, self._task = self._task, None
        if task is None:
            return
        if not self._supervisors:  # devices are still being searched
            task.cancel()
        try:
            await asyncio.gather(*(supervisor.stop() for supervisor in self._supervisors))
            with contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            task.cancel()

    async def interrupt(self, prompt_id: str) -> bool:
        """Cancel a running job; a worker that does not heed it within ``jobs.interrupt_grace_s`` is ended."""
        return any(supervisor.interrupt(prompt_id) for supervisor in self._supervisors)

    async def validate(self, questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        """Ask nodes' own validators in a worker that is ready, preferably an idle one.

        Raises:
            Unavailable: no worker was ready in time, or none answered.
        """
        try:
            async with asyncio.timeout(self._answer_s):
                for _ in range(ASKED_TWICE):
                    await self._some_ready.wait()
                    with contextlib.suppress(EOFError):
                        return await self._pick().ask(questions)
        except TimeoutError:
            raise Unavailable(
                f"No worker answered within {self._answer_s:g} s.", details=self._troubles(), hint="Try again later."
            ) from None
        raise Unavailable("The workers that were asked died.", details=self._troubles())

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Let every worker drop models or cached outputs when it is between two prompts."""
        for supervisor in self._supervisors:
            supervisor.free(unload_models=unload_models, free_memory=free_memory)

    async def restart(self, *, finish_s: float) -> None:
        """Replace all workers by new ones, all at the same time."""
        await asyncio.gather(*(supervisor.renew(finish_s=finish_s) for supervisor in self._supervisors))

    def workers(self) -> list[WorkerStatus]:
        """The workers as they are now; none while devices are searched."""
        return [supervisor.status() for supervisor in self._supervisors]

    async def _run(self, host: SchedulerHost) -> None:
        devices = await find_devices(self._settings)
        names = _worker_names(devices)
        self._supervisors = [
            Supervisor(name, device, host, self._note_ready) for name, device in zip(names, devices, strict=True)
        ]
        logger.info("workers: %s", ", ".join(names))
        await asyncio.gather(*(supervisor.run() for supervisor in self._supervisors))

    def _note_ready(self) -> None:
        if any(supervisor.ready for supervisor in self._supervisors):
            self._some_ready.set()
        else:
            self._some_ready.clear()

    def _pick(self) -> Supervisor:
        ready = [supervisor for supervisor in self._supervisors if supervisor.ready]
        if not ready:
            raise EOFError("no worker is ready")
        return next((supervisor for supervisor in ready if supervisor.status().state == "idle"), ready[0])

    def _troubles(self) -> str:
        return "\n".join(f"{status.name}: {status.error}" for status in self.workers() if status.error)


def _worker_names(devices: list[str]) -> list[str]:
    """A device's name, numbered where several workers share the device: ``cpu``, ``cpu-2``."""
    seen: Counter[str] = Counter()
    names = []
    for device in devices:
        seen[device] += 1
        names.append(device if seen[device] == 1 else f"{device}-{seen[device]}")
    return names
