"""What every scheduler must do, as tests: subclass :class:`SchedulerConformance` in a test module of the plugin.

::

    class TestMyScheduler(SchedulerConformance):
        def make_scheduler(self, settings):
            return MyScheduler(settings)

        def worker_command(self, device):
            return WorkerCommand(argv=[sys.executable, "my_worker.py"], env={})

Workers need four node classes: ``ConformanceEcho(text)``, an output node that shows ``{"text": [text]}`` and whose
validator answers ``"bad text"`` to ``"bad"``; ``ConformanceWait(seconds)``, which heeds interrupts;
``ConformanceWaitDeaf(seconds)``, which does not; ``ConformanceDie()``, which kills its process with SIGKILL
after 0.1 s (a worker may tell events a little later than they happen).
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar, cast

from ..events import Event, NodeOutput, NodeStarted
from ..scheduler import Assignment, Catalog, ValidationQuestion, WorkerCommand, WorkerStatus
from ..settings import JobSettings, SchedulerSettings, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..graph import Graph
    from ..jobs import Outcome
    from ..scheduler import Scheduler

PATIENCE_S: Final = 60.0
"""No step of a test takes longer, even where starting a worker means importing torch on a busy machine."""
LONG_S: Final = 600.0
"""Seconds that a job would run if nobody stopped it."""

P = ParamSpec("P")
C = TypeVar("C", bound="SchedulerConformance")


class MemorySchedulerHost:
    """A :class:`~comfykernel_sdk.scheduler.SchedulerHost` that keeps everything it is told.

    Attributes:
        taken: ``(worker, prompt_id)`` in the order in which jobs were taken.
        finished: prompt_id -> outcome, in the order of their ends.
        losses: ``(prompt_id, reason, node_id, node_type)`` of jobs whose worker died.
        given_back: ids of the jobs among them whose worker was ended on purpose.
    """

    def __init__(self, settings: Settings, command: Callable[[str], WorkerCommand], *, engine: str = "") -> None:
        self.settings = settings
        self.events: list[Event] = []
        self.taken: list[tuple[str, str]] = []
        self.finished: dict[str, Outcome] = {}
        self.losses: list[tuple[str, str, str, str]] = []
        self.given_back: list[str] = []
        self.catalogs: list[Catalog] = []
        self.statuses: list[WorkerStatus] = []
        self.lines: list[str] = []
        self._command = command
        self._engine = engine
        self._queue: asyncio.Queue[Assignment] = asyncio.Queue()
        self._changed = asyncio.Event()

    def add(self, prompt_id: str, graph: Graph) -> None:
        """Queue a job."""
        self._queue.put_nowait(Assignment(prompt_id=prompt_id, graph=graph, outputs_to_execute=list(graph)))

    async def until(self, condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
        """Wait until a condition on what the host was told holds; raises ``TimeoutError`` when it never does."""
        async with asyncio.timeout(patience_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def worker_command(self, device: str) -> WorkerCommand:
        """As the test says."""
        return self._command(device)

    def engine_factory(self) -> str:
        """As the test says."""
        return self._engine

    async def take(self, worker: str) -> Assignment:
        """The next job in the order in which they were added."""
        assignment = await self._queue.get()
        self.taken.append((worker, assignment.prompt_id))
        self._changed.set()
        return assignment

    def emit(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)
        self._changed.set()

    async def finish(self, prompt_id: str, outcome: Outcome) -> None:
        """Keep it; a job that ends twice is an error."""
        assert prompt_id not in self.finished, f"{prompt_id} ended twice"
        await asyncio.sleep(0)
        self.finished[prompt_id] = outcome
        self._changed.set()

    async def lost(
        self, prompt_id: str, reason: str, *, node_id: str = "", node_type: str = "", blameless: bool = False
    ) -> None:
        """Keep it; the job is not queued again."""
        if blameless:
            self.given_back.append(prompt_id)
        self.losses.append((prompt_id, reason, node_id, node_type))
        self._changed.set()

    def set_catalog(self, catalog: Catalog) -> None:
        """Keep it."""
        self.catalogs.append(catalog)
        self._changed.set()

    def report_worker(self, status: WorkerStatus) -> None:
        """Keep it."""
        self.statuses.append(status)
        self._changed.set()

    def log_line(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)
        self._changed.set()

    def heard(self, kind: type[Event], prompt_id: str) -> list[Event]:
        """The events of one kind of one job."""
        return [event for event in self.events if isinstance(event, kind) and event.prompt_id == prompt_id]


def in_event_loop(test: Callable[Concatenate[C, P], Awaitable[None]]) -> Callable[Concatenate[C, P], None]:
    """Run an async test in the loop of :meth:`SchedulerConformance.run_loop`, whatever pytest plugins there are."""

    @functools.wraps(test)
    def run(self: C, *args: P.args, **kwargs: P.kwargs) -> None:
        self.run_loop(test(self, *args, **kwargs))

    return cast("Callable[Concatenate[C, P], None]", run)


def echo(text: str) -> Graph:
    """A graph that shows a text."""
    return {"1": {"class_type": "ConformanceEcho", "inputs": {"text": text}}}


def wait(seconds: float = LONG_S, *, deaf: bool = False) -> Graph:
    """A graph that takes its time and then shows a text; ``deaf``: without a look at interrupts."""
    waiting = "ConformanceWaitDeaf" if deaf else "ConformanceWait"
    return {"0": {"class_type": waiting, "inputs": {"seconds": seconds}}, **echo("late")}


def die() -> Graph:
    """A graph that kills its worker."""
    return {"1": {"class_type": "ConformanceDie", "inputs": {}}}


def alive(pid: int) -> bool:
    """Whether a process exists, zombies included."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


class SchedulerConformance:
    """The tests. A subclass says how to make the scheduler and its workers."""

    def make_scheduler(self, settings: Settings) -> Scheduler:
        """The scheduler under test."""
        raise NotImplementedError

    def worker_command(self, device: str) -> WorkerCommand:
        """How to start a worker that has the nodes named above."""
        raise NotImplementedError

    def run_loop(self, test: Awaitable[None]) -> None:
        """Run a test to its end in a fresh event loop."""

        async def main() -> None:
            await test

        asyncio.run(main())

    def settings(self) -> Settings:
        """One CPU worker, no wait before restarts, half a second of grace."""
        return Settings(
            scheduler=SchedulerSettings(devices=("cpu",), restart_delay_s=0.01), jobs=JobSettings(interrupt_grace_s=0.5)
        )

    @asynccontextmanager
    async def running(
        self, settings: Settings | None = None, command: Callable[[str], WorkerCommand] | None = None
    ) -> AsyncIterator[tuple[Scheduler, MemorySchedulerHost]]:
        """A started scheduler and its host; afterwards no process may be left."""
        settings = settings or self.settings()
        scheduler = self.make_scheduler(settings)
        host = MemorySchedulerHost(settings, command or self.worker_command)
        await scheduler.start(host)
        try:
            yield scheduler, host
        finally:
            await scheduler.stop()
        assert not [pid for pid in {status.pid for status in host.statuses} if pid is not None and alive(pid)]

    @in_event_loop
    async def test_jobs_run_in_order_with_their_events(self) -> None:
        async with self.running() as (_, host):
            for number in range(5):
                host.add(f"p{number}", echo(f"text {number}"))
            await host.until(lambda: len(host.finished) == 5)
            assert list(host.finished) == [prompt for _, prompt in host.taken] == [f"p{n}" for n in range(5)]
            assert all(outcome.status == "done" for outcome in host.finished.values())
            (shown,) = host.heard(NodeOutput, "p3")
            assert isinstance(shown, NodeOutput)
            assert shown.output == {"text": ["text 3"]} == host.finished["p3"].outputs["1"]
            assert host.catalogs

    @in_event_loop
    async def test_a_worker_takes_a_job_only_when_it_is_free(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("first", wait())
            host.add("second", echo("x"))
            await host.until(lambda: host.heard(NodeStarted, "first"))
            (status,) = scheduler.workers()
            assert (status.state, status.prompt_id) == ("busy", "first")
            assert [prompt for _, prompt in host.taken] == ["first"]
            assert await scheduler.interrupt("first")
            await host.until(lambda: "second" in host.finished)

    @in_event_loop
    async def test_interrupt_reaches_the_running_job_alone(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("p", wait())
            await host.until(lambda: host.heard(NodeStarted, "p"))
            pid = scheduler.workers()[0].pid
            assert not await scheduler.interrupt("other")
            assert await scheduler.interrupt("p")
            await host.until(lambda: "p" in host.finished)
            assert host.finished["p"].status == "cancelled"
            assert scheduler.workers()[0].pid == pid
            assert not await scheduler.interrupt("p")

    @in_event_loop
    async def test_a_node_deaf_to_interrupts_is_ended_after_the_grace(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("p", {"9": echo("early")["1"], **wait(deaf=True)})
            host.add("next", echo("x"))
            await host.until(lambda: scheduler.workers() and len(host.heard(NodeStarted, "p")) == 2)
            assert await scheduler.interrupt("p")
            await host.until(lambda: "next" in host.finished)
            assert host.losses == []
            outcome = host.finished["p"]
            assert (outcome.status, outcome.outputs) == ("cancelled", {"9": {"text": ["early"]}})
            name, data = outcome.messages[-1]
            assert (name, data["node_id"], data["node_type"]) == ("execution_interrupted", "0", "ConformanceWaitDeaf")
            assert host.finished["next"].status == "done"

    @in_event_loop
    async def test_a_job_whose_worker_dies_is_lost_with_the_reason(self) -> None:
        async with self.running() as (_, host):
            host.add("dies", die())
            host.add("next", echo("x"))
            await host.until(lambda: "next" in host.finished)
            ((prompt, reason, node_id, node_type),) = host.losses
            assert (prompt, node_id, node_type) == ("dies", "1", "ConformanceDie")
            assert "SIGKILL" in reason
            assert "dies" not in host.finished

    @in_event_loop
    async def test_a_worker_killed_from_outside_is_started_again(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("p", wait())
            await host.until(lambda: host.heard(NodeStarted, "p"))
            pid = scheduler.workers()[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await host.until(lambda: host.losses)
            host.add("next", echo("x"))
            await host.until(lambda: "next" in host.finished)
            assert scheduler.workers()[0].pid != pid

    @in_event_loop
    async def test_validators_answer_at_the_start_and_under_a_job(self) -> None:
        async with self.running() as (scheduler, host):
            questions = [
                ValidationQuestion(node_id=text, class_type="ConformanceEcho", constants={"text": text}, input_types={})
                for text in ("good", "bad")
            ]
            assert [answer.result for answer in await scheduler.validate(questions)] == [True, "bad text"]
            host.add("p", wait())
            await host.until(lambda: host.heard(NodeStarted, "p"))
            async with asyncio.timeout(PATIENCE_S):
                answers = await scheduler.validate(questions)
            assert [(answer.node_id, answer.result) for answer in answers] == [("good", True), ("bad", "bad text")]
            assert "p" not in host.finished

    @in_event_loop
    async def test_free_is_heeded_between_jobs(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("p", echo("x"))
            await host.until(lambda: "p" in host.finished)
            await scheduler.free(unload_models=True, free_memory=True)
            host.add("next", echo("x"))
            await host.until(lambda: "next" in host.finished)

    @in_event_loop
    async def test_a_restart_gives_a_new_worker_that_tells_its_nodes(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("first", echo("x"))
            await host.until(lambda: "first" in host.finished)
            pid, told = scheduler.workers()[0].pid, len(host.catalogs)
            async with asyncio.timeout(PATIENCE_S):
                await scheduler.restart(finish_s=PATIENCE_S)
            assert scheduler.workers()[0].pid != pid
            assert len(host.catalogs) == told + 1
            host.add("next", echo("x"))
            await host.until(lambda: "next" in host.finished)
            assert host.losses == []

    @in_event_loop
    async def test_a_restart_lets_the_running_job_end_and_takes_no_other(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("runs", wait(1.0))
            host.add("waits", echo("x"))
            await host.until(lambda: host.heard(NodeStarted, "runs"))
            pid = scheduler.workers()[0].pid
            async with asyncio.timeout(PATIENCE_S):
                await scheduler.restart(finish_s=PATIENCE_S)
            assert host.finished["runs"].status == "done"
            await host.until(lambda: "waits" in host.finished)
            assert host.losses == []
            assert pid not in {status.pid for status in host.statuses if status.prompt_id == "waits"}

    @in_event_loop
    async def test_a_restart_gives_back_a_job_that_takes_too_long(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("runs", wait(deaf=True))
            await host.until(lambda: host.heard(NodeStarted, "runs"))
            async with asyncio.timeout(PATIENCE_S):
                await scheduler.restart(finish_s=0.1)
            assert host.given_back == ["runs"]
            host.add("next", echo("x"))
            await host.until(lambda: "next" in host.finished)
            assert "runs" not in host.finished

    @in_event_loop
    async def test_stop_leaves_the_running_job_to_the_next_start(self) -> None:
        async with self.running() as (scheduler, host):
            host.add("p", wait(deaf=True))
            host.add("waits", echo("x"))
            await host.until(lambda: host.heard(NodeStarted, "p"))
            await scheduler.stop()
            assert (host.finished, host.losses) == ({}, [])
            assert [prompt for _, prompt in host.taken] == ["p"]
