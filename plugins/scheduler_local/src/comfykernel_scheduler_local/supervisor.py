"""Keeps one worker alive on one device: starts it, feeds it jobs, and starts it again when it dies.

Each life of the process is read by one task and fed by another. The feeding task is never cancelled between taking a
job from the kernel and telling how it ended: a death ends the wait for the job instead, and the task itself then tells
the kernel. So a job is neither lost nor told twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
from collections import deque
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.channel import Ended, Free, Interrupt, Memory, Ready, Said, Shutdown, Validate, Validated
from comfykernel_sdk.scheduler import WorkerStatus

from .backoff import Backoff
from .devices import unknown_device
from .running_job import RunningJob
from .worker_process import WorkerProcess, describe_exit

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from comfykernel_sdk.channel import FromWorker
    from comfykernel_sdk.events import Event
    from comfykernel_sdk.scheduler import Assignment, SchedulerHost, ValidationAnswer, ValidationQuestion

    State = Literal["starting", "idle", "busy", "stopping", "restarting", "failed"]

EARLY_DEATHS: Final = 3
"""A worker that dies so many times in a row before it is ready is shown as failed."""
KEPT_LINES: Final = 20
"""Last lines of a worker's output that are shown with its failure."""
DRAIN_S: Final = 1.0
"""How long the messages of a dead worker are read; a process that it left behind may hold its channel open."""
EXIT_S: Final = 2.0
"""How long a worker may live after it closed its channel, or after it was told to end."""
TERMINATE_S: Final = 1.0
"""How long a worker may live after SIGTERM."""
TAKE_AGAIN_S: Final = 1.0
"""Wait after the kernel failed to give a job."""

logger = logging.getLogger(__name__)
_question_ids = itertools.count(1)


class Supervisor:
    """One device and its worker, through all the worker's lives.

    Attributes:
        name: of the worker, unique among the workers of a server.
        ready: whether the worker has told its nodes and lives.
    """

    def __init__(self, name: str, device: str, host: SchedulerHost, on_change: Callable[[], None]) -> None:
        self.name = name
        self.ready = False
        self._device = device
        self._host = host
        self._on_change = on_change
        self._state: State = "starting"
        self._error = ""
        self._restarts = 0
        self._early_deaths = 0
        self._backoff = Backoff(host.settings.scheduler.restart_delay_s)
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: WorkerProcess | None = None
        self._job: RunningJob | None = None
        self._taking: asyncio.Task[Assignment] | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._questions: dict[int, asyncio.Future[list[ValidationAnswer]]] = {}
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._settled = asyncio.Event()
        self._renewing = asyncio.Lock()
        self._retiring = False
        self._death_reason = ""
        self._forced = False
        self._torch_version = ""
        self._memory = Memory(device=unknown_device(device))

    async def run(self) -> None:
        """Keep a worker alive until :meth:`stop`."""
        loop = asyncio.get_running_loop()
        try:
            while not self._stopping.is_set():
                started = loop.time()
                await self._live()
                if not self._stopping.is_set():
                    await self._wait_after_death(uptime_s=loop.time() - started)
        finally:
            if self._feeding is not None:
                self._feeding.cancel()

    async def stop(self) -> None:
        """End the worker, by force when it does not end when told. :meth:`run` returns after that."""
        self._stopping.set()
        self._hurry.set()
        self._settled.set()
        self._set_state("stopping")
        if self._taking is not None:
            self._taking.cancel()
        if self._process is not None:
            await self._end(self._process)

    async def renew(self, *, finish_s: float) -> None:
        """Replace the worker by a new one; returns when that is ready or has failed.

        No further job is taken; the running one has ``finish_s`` seconds to end, then the kernel gets it back.
        """
        async with self._renewing:
            self._settled.clear()
            self._hurry.set()
            if self._stopping.is_set():
                return
            process, feeding = self._process, self._feeding
            if process is not None:
                self._retiring = True
                if self._taking is not None:
                    self._taking.cancel()
                if feeding is not None:
                    await asyncio.wait({feeding}, timeout=finish_s)
                await self._end(process)
            await self._settled.wait()

    def interrupt(self, prompt_id: str) -> bool:
        """Ask the worker to stop this prompt, and end the worker when it goes on; tells whether it runs here."""
        job, process = self._job, self._process
        if job is None or process is None or job.prompt_id != prompt_id or job.ended.done():
            return False
        if not job.interrupted:
            job.interrupted = True
            process.send(Interrupt(prompt_id))
            grace_s = self._host.settings.jobs.interrupt_grace_s
            job.grace = asyncio.get_running_loop().call_later(grace_s, self._end_deaf_worker, job, process)
        return True

    async def ask(self, questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        """Let nodes' own validators answer in the worker.

        Raises:
            EOFError: the worker is not there, or died over it.
        """
        if self._process is None or not self.ready:
            raise EOFError(f"worker {self.name} is not ready")
        id = next(_question_ids)
        answer: asyncio.Future[list[ValidationAnswer]] = asyncio.get_running_loop().create_future()
        self._questions[id] = answer
        try:
            self._process.send(Validate(id, questions))
            return await answer
        finally:
            del self._questions[id]

    def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Let the worker drop what it holds; one that is not ready holds nothing."""
        if self._process is not None and self.ready:
            self._process.send(Free(unload_models, free_memory))

    def status(self) -> WorkerStatus:
        """The worker as it is now."""
        return WorkerStatus(
            name=self.name,
            device=self._memory.device,
            state=self._state,
            prompt_id=self._job.prompt_id if self._job else None,
            pid=self._process.pid if self._process else None,
            restarts=self._restarts,
            error=self._error,
            torch_version=self._torch_version,
            cache_bytes=self._memory.cache_bytes,
            model_bytes=self._memory.model_bytes,
        )

    async def _live(self) -> None:
        """One life of the process: returns when it is over and the kernel knows of the job that ran."""
        self._forced = self._retiring = False
        self._hurry.clear()
        if self._state != "failed":
            self._set_state("starting")
        try:
            self._process = process = await WorkerProcess.start(self._host.worker_command(self._device), self._print)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with the command, it is shown and tried again)
            self._death_reason = f"worker {self.name} can't be started: {error}"
            self._print([self._death_reason])
            self._early_deaths += 1
            return
        if self._stopping.is_set():
            process.send(Shutdown())
        try:
            self._death_reason = await self._follow(process)
        finally:
            process.kill()
            self._process = None
        await self._bury()

    async def _follow(self, process: WorkerProcess) -> str:
        """Read what the worker says until it is dead; returns how it died."""
        reading = asyncio.create_task(self._read(process), name=f"read {self.name}")
        exited = asyncio.create_task(process.wait(), name=f"await {self.name}")
        trouble = ""
        try:
            await asyncio.wait({reading, exited}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and (error := reading.exception()) is not None:
                logger.error("worker %s said what can't be handled; it is ended", self.name, exc_info=error)
                trouble = f"said what the server can't handle ({error}) and "
            elif exited.done():
                await asyncio.wait({reading}, timeout=DRAIN_S)
            else:
                await asyncio.wait({exited}, timeout=EXIT_S)
                trouble = "" if exited.done() else "closed its channel and "
            process.kill()
            return f"worker {self.name} (process {process.pid}) {trouble}{describe_exit(await process.wait())}"
        finally:
            reading.cancel()
            exited.cancel()
            await process.close()

    async def _bury(self) -> None:
        """The process is dead: end all that waits for it."""
        self._early_deaths = 0 if self.ready or self._retiring else self._early_deaths + 1
        self.ready = False
        self._on_change()
        for question in self._questions.values():
            if not question.done():
                question.set_exception(EOFError(self._death_reason))
        if self._taking is not None:
            self._taking.cancel()
        if self._job is not None:
            self._job.end(None)
        if self._feeding is not None:
            await self._feeding
            self._feeding = None

    async def _read(self, process: WorkerProcess) -> None:
        while True:
            try:
                message = await process.receive()
            except EOFError:
                return
            self._hear(message, process)
            # What a busy worker says must not keep everybody else waiting.
            await asyncio.sleep(0)

    def _hear(self, message: FromWorker, process: WorkerProcess) -> None:
        match message:
            case Said(events):
                self._pass_on(events)
            case Ended(prompt_id, outcome):
                if self._job is not None and self._job.prompt_id == prompt_id:
                    self._job.end(outcome)
            case Ready() if not self.ready and not self._retiring:
                self._welcome(message, process)
            case Validated(id, answers):
                question = self._questions.get(id)
                if question is not None and not question.done():
                    question.set_result(answers)
            case Memory():
                self._memory = message
                self._host.report_worker(self.status())

    def _pass_on(self, events: list[Event]) -> None:
        """Hand events of the job that runs to the kernel; those of another come too late."""
        job = self._job
        for event in events:
            if job is not None and job.prompt_id == event.prompt_id and not job.ended.done():
                job.hear(event)
                self._host.emit(event)

    def _welcome(self, message: Ready, process: WorkerProcess) -> None:
        self.ready = True
        self._error = ""
        self._torch_version = message.torch_version
        self._memory = Memory(device=message.device)
        self._host.set_catalog(message.catalog)
        self._settled.set()
        self._set_state("idle")
        self._feeding = asyncio.create_task(self._feed(process), name=f"feed {self.name}")

    async def _feed(self, process: WorkerProcess) -> None:
        """Give the worker one job after the other while it lives."""
        while self.ready and not self._retiring and not self._stopping.is_set():
            assignment = await self._take()
            if assignment is not None:
                await self._run_job(process, RunningJob(assignment), assignment)

    async def _take(self) -> Assignment | None:
        """The next job, or none when the worker died or stops meanwhile."""
        self._taking = taking = asyncio.create_task(self._host.take(self.name), name=f"take for {self.name}")
        try:
            await asyncio.wait({taking})
            return None if taking.cancelled() else taking.result()
        except Exception:
            logger.exception("worker %s got no job from the kernel; it asks again in %.0f s", self.name, TAKE_AGAIN_S)
            await asyncio.sleep(TAKE_AGAIN_S)
            return None
        finally:
            taking.cancel()
            self._taking = None

    async def _run_job(self, process: WorkerProcess, job: RunningJob, assignment: Assignment) -> None:
        self._job = job
        if self.ready:
            process.send(assignment)
            self._set_state("busy")
        else:
            job.end(None)
        try:
            outcome = await job.ended
            if outcome is not None:
                self._backoff.reset()
                await self._host.finish(job.prompt_id, outcome)
            elif job.interrupted:
                event, outcome = job.cut_off()
                self._host.emit(event)
                await self._host.finish(job.prompt_id, outcome)
            elif not self._stopping.is_set():
                node_id, node_type = job.current_node()
                await self._host.lost(
                    job.prompt_id, self._death_reason, node_id=node_id, node_type=node_type, blameless=self._retiring
                )
        except Exception:
            logger.exception("the kernel could not note the end of prompt %s", job.prompt_id)
        finally:
            self._job = None
            if self.ready and not self._stopping.is_set():
                self._set_state("idle")

    def _end_deaf_worker(self, job: RunningJob, process: WorkerProcess) -> None:
        logger.warning(
            "prompt %s did not stop within %g s after its interrupt: worker %s is ended and started again",
            job.prompt_id,
            self._host.settings.jobs.interrupt_grace_s,
            self.name,
        )
        self._forced = True
        process.kill()

    async def _end(self, process: WorkerProcess) -> None:
        """End a worker, by force when it does not end when told; one that is still starting does not listen yet."""
        exited = asyncio.ensure_future(process.wait())
        try:
            process.send(Shutdown())
            await asyncio.wait({exited}, timeout=EXIT_S if self.ready else 0.0)
            if not exited.done():
                process.terminate()
                await asyncio.wait({exited}, timeout=TERMINATE_S)
        finally:
            exited.cancel()
            process.kill()

    async def _wait_after_death(self, *, uptime_s: float) -> None:
        if self._retiring:
            logger.info("worker %s is started anew", self.name)
            self._error = ""
            self._set_state("restarting")
            return
        delay_s = 0.0 if self._forced else self._backoff.after_death(uptime_s=uptime_s)
        logger.error("%s; it is started again in %.1f s", self._death_reason, delay_s)
        failed = self._early_deaths >= EARLY_DEATHS
        self._error = "\n".join(self._lines) if failed else self._death_reason
        self._set_state("failed" if failed else "restarting")
        self._settled.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._hurry.wait()
        self._restarts += 1

    def _print(self, lines: list[str]) -> None:
        self._lines.extend(lines[-KEPT_LINES:])
        sys.stderr.write("".join(f"[{self.name}] {line}\n" for line in lines))
        for line in lines:
            self._host.log_line(line)

    def _set_state(self, state: State) -> None:
        self._state = "stopping" if self._stopping.is_set() else state
        self._on_change()
        self._host.report_worker(self.status())
