"""Workers that fail in every way: what people are told, what goes on, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from comfykernel_scheduler_local.scheduler import LocalScheduler
from comfykernel_scheduler_local.supervisor import KEPT_LINES
from comfykernel_scheduler_local.worker_process import WorkerProcess, describe_exit
from comfykernel_sdk.channel import Memory
from comfykernel_sdk.errors import Unavailable
from comfykernel_sdk.events import ExecutionInterrupted, NodeStarted
from comfykernel_sdk.scheduler import ValidationQuestion, WorkerCommand
from comfykernel_sdk.settings import JobSettings, SchedulerSettings, Settings
from comfykernel_sdk.testing.scheduler_conformance import MemorySchedulerHost, alive, die, echo, wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.scheduler import Assignment, WorkerStatus

SCRIPT = Path(__file__).with_name("scripted_worker.py")


def command(device: str, *, script: str = "") -> WorkerCommand:
    return WorkerCommand(argv=[sys.executable, str(SCRIPT)], env={"SCRIPT": script})


def node(class_type: str, **inputs: object) -> Graph:
    return {"1": {"class_type": class_type, "inputs": {**inputs}}}


def question(text: str) -> ValidationQuestion:
    return ValidationQuestion(node_id="1", class_type="ConformanceEcho", constants={"text": text}, input_types={})


class EagerHost(MemorySchedulerHost):
    """Hands out a job even to a taker that gave up, as a kernel may that was just noting the start on disk."""

    def __init__(self, settings: Settings, command: Callable[[str], WorkerCommand]) -> None:
        super().__init__(settings, command)
        self.given_up = asyncio.Event()

    async def take(self, worker: str) -> Assignment:
        try:
            return await super().take(worker)
        except asyncio.CancelledError:
            self.given_up.set()
            self.add("late", echo("late"))
            return await super().take(worker)


@asynccontextmanager
async def running(
    start: Callable[[str], WorkerCommand] = command,
    *,
    devices: tuple[str, ...] = ("cpu",),
    answer_s: float = 30.0,
    host_class: type[MemorySchedulerHost] = MemorySchedulerHost,
) -> AsyncIterator[tuple[LocalScheduler, MemorySchedulerHost]]:
    settings = Settings(
        scheduler=SchedulerSettings(devices=devices, restart_delay_s=0.001), jobs=JobSettings(interrupt_grace_s=0.2)
    )
    scheduler = LocalScheduler(settings, answer_s=answer_s)
    host = host_class(settings, start)
    await scheduler.start(host)
    try:
        yield scheduler, host
    finally:
        await scheduler.stop()
    assert not [status.pid for status in host.statuses if status.pid is not None and alive(status.pid)]


async def gone(pid: int) -> None:
    """Wait for the end of a process, or for its being a zombie where nobody else's parent reaps it."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        async with asyncio.timeout(30):
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def last(host: MemorySchedulerHost) -> WorkerStatus:
    return host.statuses[-1]


@pytest.mark.parametrize(
    ("class_type", "reason"),
    [
        ("Leave", "exit code 3"),
        ("TalkNonsense", "can't handle"),
        ("LeaveChild", "exit code 4"),
        ("ConformanceDie", "memory ran out"),
    ],
)
async def test_the_reason_of_a_loss_names_what_happened(class_type: str, reason: str) -> None:
    async with running() as (_, host):
        host.add("p", node(class_type))
        host.add("next", echo("x"))
        await host.until(lambda: "next" in host.finished)
        ((prompt, text, node_id, node_type),) = host.losses
        assert (prompt, node_id, node_type) == ("p", "1", class_type)
        assert reason in text


async def test_a_worker_that_closes_its_channel_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykernel_scheduler_local.supervisor.EXIT_S", 0.05)
    async with running() as (_, host):
        host.add("p", node("HangUp"))
        await host.until(lambda: host.losses)
        assert "closed its channel" in host.losses[0][1]


async def test_processes_that_a_worker_leaves_behind_are_killed() -> None:
    async with running() as (_, host):
        host.add("p", node("LeaveChild"))
        await host.until(lambda: host.losses)
        (child,) = [int(line.split()[1]) for line in host.lines if line.startswith("child ")]
        await gone(child)


async def test_a_worker_that_never_gets_ready_is_failed_with_its_last_lines_and_tried_again() -> None:
    async with running(functools.partial(command, script="fail")) as (scheduler, host):
        await host.until(lambda: host.statuses and last(host).restarts >= 4)
        states = [status.state for status in host.statuses]
        first = states.index("failed")
        assert states[:first] == ["starting", "restarting"] * 2 + ["starting"]
        assert set(states[first:]) == {"failed"}
        assert host.statuses[first].error.endswith("no such pack\nsorry")
        assert scheduler.workers()[0].error


async def test_a_failed_worker_that_gets_ready_is_sound_again(tmp_path: Path) -> None:
    starts: list[str] = []

    def repaired_later(device: str) -> WorkerCommand:
        starts.append(device)
        return command(device, script="fail" if len(starts) <= 3 else "")

    async with running(repaired_later) as (scheduler, host):
        host.add("p", echo("x"))
        await host.until(lambda: "p" in host.finished)
        (status,) = scheduler.workers()
        assert (status.state, status.error, status.restarts, status.torch_version) == ("idle", "", 3, "9.9")


@pytest.mark.parametrize("argv", [["/no/such/program"], [], [f"{SCRIPT.parent}"]])
async def test_a_program_that_cannot_be_run_is_a_failed_worker(argv: list[str]) -> None:
    async with running(lambda _: WorkerCommand(argv=argv, env={})) as (_, host):
        await host.until(lambda: any(status.state == "failed" for status in host.statuses))
        assert "can't be started" in last(host).error


async def test_stop_ends_a_worker_that_does_not_heed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykernel_scheduler_local.supervisor.EXIT_S", 0.05)
    monkeypatch.setattr("comfykernel_scheduler_local.supervisor.TERMINATE_S", 0.05)
    async with running(functools.partial(command, script="deaf")) as (_, host):
        await host.until(lambda: host.catalogs)


async def test_stop_at_any_moment_leaves_nothing() -> None:
    for turns in (0, 1, 3, 10, 30):
        async with running(devices=("cpu", "cpu")):
            for _ in range(turns):
                await asyncio.sleep(0)


async def test_a_cancelled_stop_still_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(functools.partial(command, script="deaf")) as (scheduler, host):
        await host.until(lambda: host.catalogs)
        (status,) = scheduler.workers()
        stop = asyncio.create_task(scheduler.stop())
        await asyncio.sleep(0.01)
        stop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stop
        assert status.pid is not None
        async with asyncio.timeout(30):
            while alive(status.pid):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_job_handed_out_while_its_worker_dies_is_lost_and_not_forgotten() -> None:
    async with running(host_class=EagerHost) as (scheduler, host):
        assert isinstance(host, EagerHost)
        await host.until(lambda: last(host).state == "idle" if host.statuses else False)
        pid = scheduler.workers()[0].pid
        assert pid is not None
        os.kill(pid, 9)
        await host.until(lambda: host.losses)
        assert host.losses[0][0] == "late"
        assert "SIGKILL" in host.losses[0][1]


async def test_a_kernel_that_cannot_give_a_job_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykernel_scheduler_local.supervisor.TAKE_AGAIN_S", 0.001)
    take, failures = MemorySchedulerHost.take, iter([OSError("disk full")])

    async def fail_once(self: MemorySchedulerHost, worker: str) -> Assignment:
        if (error := next(failures, None)) is not None:
            raise error
        return await take(self, worker)

    monkeypatch.setattr(MemorySchedulerHost, "take", fail_once)
    async with running() as (_, host):
        host.add("p", echo("x"))
        await host.until(lambda: "p" in host.finished)


async def test_a_worker_that_dies_under_an_interrupted_job_cancels_it() -> None:
    async with running() as (scheduler, host):
        host.add("p", wait(deaf=True))
        await host.until(lambda: host.heard(NodeStarted, "p"))
        await scheduler.interrupt("p")
        await scheduler.interrupt("p")
        pid = scheduler.workers()[0].pid
        assert pid is not None
        os.kill(pid, 9)
        await host.until(lambda: "p" in host.finished)
        assert host.losses == []
        assert [name for name, _ in host.finished["p"].messages] == [
            "execution_start",
            "execution_cached",
            "execution_interrupted",
        ]
        (event,) = host.heard(ExecutionInterrupted, "p")
        assert isinstance(event, ExecutionInterrupted)
        assert (event.node_id, event.node_type, event.executed) == ("0", "ConformanceWaitDeaf", [])


async def test_output_comes_line_by_line_in_bounds() -> None:
    async with running() as (_, host):
        host.add("p", node("PrintMuch", lines=5000))
        await host.until(lambda: host.lines and host.lines[-1] == "line 4999")
        assert max(map(len, host.lines)) == 8 * 1024
        assert host.lines[-5000:] == [f"line {number}" for number in range(5000)]


async def test_validators_that_do_not_answer_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykernel_scheduler_local.supervisor.EXIT_S", 0.05)
    async with running(answer_s=1.0) as (scheduler, host):
        await host.until(lambda: host.catalogs)
        with pytest.raises(Unavailable, match="No worker answered"):
            await scheduler.validate([question("silence")])


async def test_a_validator_that_kills_its_worker_is_asked_once_more() -> None:
    async with running() as (scheduler, host):
        with pytest.raises(Unavailable, match="died"):
            await scheduler.validate([question("die")])
        await host.until(lambda: len(host.catalogs) == 3)
        assert (await scheduler.validate([question("good")]))[0].result is True


async def test_questions_without_any_worker_are_unavailable_and_say_why() -> None:
    async with running(functools.partial(command, script="fail"), answer_s=0.2) as (scheduler, host):
        await host.until(lambda: host.statuses and last(host).error)
        with pytest.raises(Unavailable) as caught:
            await scheduler.validate([question("good")])
        assert "cpu: " in caught.value.details


async def test_two_workers_share_the_queue() -> None:
    async with running(devices=("cpu", "cpu")) as (scheduler, host):
        host.add("a", wait())
        host.add("b", wait())
        host.add("c", die())
        await host.until(lambda: host.heard(NodeStarted, "a") and host.heard(NodeStarted, "b"))
        assert {worker for worker, _ in host.taken} == {"cpu", "cpu-2"}
        await scheduler.interrupt("a")
        await host.until(lambda: host.losses)
        assert "b" not in host.finished


async def test_memory_and_device_are_shown() -> None:
    async with running() as (scheduler, host):
        host.add("p", echo("x"))
        await host.until(lambda: scheduler.workers() and scheduler.workers()[0].cache_bytes)
        (status,) = scheduler.workers()
        assert (status.device.name, status.device.vram_total, status.model_bytes) == ("scripted", 100, 3)
        await scheduler.free(unload_models=True, free_memory=True)
        await host.until(lambda: scheduler.workers()[0].cache_bytes == 3)


async def test_a_worker_dies_with_its_server() -> None:
    """The server is killed and the worker, deaf to signals and to the end of its channel, goes with it."""
    worker = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    server = (
        "import asyncio, sys\n"
        "from comfykernel_sdk.scheduler import WorkerCommand\n"
        "from comfykernel_scheduler_local.worker_process import WorkerProcess\n"
        "async def main():\n"
        f"    command = WorkerCommand(argv=[sys.executable, '-c', {worker!r}], env={{}})\n"
        "    await WorkerProcess.start(command, lambda lines: print(*lines, flush=True))\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", server, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert alive(pid)
    process.kill()
    await process.wait()
    await gone(pid)


async def test_messages_to_a_dead_worker_are_dropped() -> None:
    process = await WorkerProcess.start(WorkerCommand(argv=[sys.executable, "-c", ""], env={}), lambda _: None)
    with pytest.raises(EOFError):
        await process.receive()
    assert await process.wait() == 0
    await process.close()
    process.send(Memory)  # type: ignore[arg-type]
    process.terminate()
    process.kill()


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (-11, "SIGSEGV"), (-9, "SIGKILL; if nobody"), (-77, "signal 77")]
)
def test_exits_are_told_in_words(code: int, text: str) -> None:
    assert text in describe_exit(code)


def test_kept_lines_are_few() -> None:
    assert KEPT_LINES == 20
