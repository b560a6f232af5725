"""A worker process that speaks the channel protocol without an engine: each node class is one small behaviour."""

# ruff: noqa: T201 (what is printed is part of the tests)

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from comfykernel_scheduler_local.blocking_channel import BlockingChannel
from comfykernel_sdk.channel import (
    Ended,
    Free,
    FromWorker,
    Interrupt,
    Memory,
    Ready,
    Said,
    Shutdown,
    Validate,
    Validated,
    server_decoder,
)
from comfykernel_sdk.events import (
    Event,
    ExecutionCached,
    ExecutionInterrupted,
    ExecutionStarted,
    ExecutionSucceeded,
    NodeOutput,
    NodePlace,
    NodeProgress,
    NodeStarted,
)
from comfykernel_sdk.jobs import Outcome
from comfykernel_sdk.scheduler import Assignment, Catalog, DeviceStatus, ValidationAnswer, ValidationQuestion

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.channel import ToWorker
    from comfykernel_sdk.json_types import JsonObject

DEVICE = DeviceStatus(name="scripted", type="cpu", vram_total=100, vram_free=50)


class Cancelled(Exception):
    """Raised in a node whose prompt was interrupted."""


class ScriptedWorker:
    """Reads in a thread of its own and runs prompts in the main thread, like a real worker."""

    def __init__(self, channel: BlockingChannel[ToWorker]) -> None:
        self.channel = channel
        self.cancelled: set[str] = set()
        self.freed = 0
        self.work: list[Assignment | Free] = []
        self.has_work = threading.Semaphore(0)

    def send(self, message: FromWorker) -> None:
        self.channel.send(message)

    def say(self, event: Event) -> None:
        self.send(Said([event]))

    def read(self) -> None:
        while True:
            try:
                message = self.channel.receive()
            except EOFError:
                os._exit(0)
            match message:
                case Assignment() | Free():
                    self.work.append(message)
                    self.has_work.release()
                case Interrupt(prompt_id):
                    self.cancelled.add(prompt_id)
                case Validate(id, questions):
                    self.send(Validated(id, [answer(question) for question in questions]))
                case Shutdown():
                    if "deaf" not in os.environ.get("SCRIPT", ""):
                        os._exit(0)

    def run_forever(self) -> None:
        while True:
            self.has_work.acquire()
            match self.work.pop(0):
                case Free(unload_models, free_memory):
                    self.freed += unload_models + 2 * free_memory
                    self.send(Memory(DEVICE, cache_bytes=self.freed))
                case Assignment() as assignment:
                    self.run(assignment)

    def run(self, assignment: Assignment) -> None:
        prompt_id = assignment.prompt_id
        self.say(ExecutionStarted(prompt_id=prompt_id, worker="scripted", attempt=assignment.attempt))
        self.say(ExecutionCached(prompt_id=prompt_id, nodes=[]))
        executed: list[str] = []
        outputs: dict[str, JsonObject] = {}
        status = "done"
        for node_id, node in assignment.graph.items():
            place = NodePlace(node_id, node_id, None, node_id)
            self.say(NodeProgress(prompt_id=prompt_id, place=place, value=0, max=1, state="running"))
            self.say(NodeStarted(prompt_id=prompt_id, place=place))
            class_type = str(node["class_type"])
            try:
                BEHAVIOURS[class_type](self, assignment, node["inputs"])
            except Cancelled:
                self.say(
                    ExecutionInterrupted(prompt_id=prompt_id, node_id=node_id, node_type=class_type, executed=executed)
                )
                status = "cancelled"
                break
            if class_type == "ConformanceEcho":
                outputs[node_id] = {"text": [node["inputs"]["text"]]}
                self.say(NodeOutput(prompt_id=prompt_id, place=place, output=outputs[node_id]))
            self.say(NodeProgress(prompt_id=prompt_id, place=place, value=1, max=1, state="finished"))
            executed.append(node_id)
        else:
            self.say(ExecutionSucceeded(prompt_id=prompt_id))
        self.send(Ended(prompt_id, Outcome(status=status, outputs=outputs)))
        self.send(Memory(DEVICE, cache_bytes=7, model_bytes=3))


def echo(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    print("echo", inputs["text"])


def wait(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    end = time.monotonic() + float(inputs["seconds"])
    while time.monotonic() < end:
        if assignment.prompt_id in worker.cancelled:
            raise Cancelled
        time.sleep(0.005)


def wait_deaf(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    time.sleep(float(inputs["seconds"]))


def die(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    os._exit(3)


def talk_nonsense(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    os.write(int(os.environ["COMFYKERNEL_WORKER_FD"]), b"\x00\x00\x00\x02\xc1\xc1")
    time.sleep(60)


def hang_up(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    """Close the channel and live on."""
    socket.socket(fileno=os.dup(int(os.environ["COMFYKERNEL_WORKER_FD"]))).shutdown(socket.SHUT_WR)
    time.sleep(60)


def leave_child(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    """Die and leave a process behind that holds channel and output open."""
    fd = int(os.environ["COMFYKERNEL_WORKER_FD"])
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=(fd,))
    print("child", child.pid)
    os._exit(4)


def print_much(worker: ScriptedWorker, assignment: Assignment, inputs: JsonObject) -> None:
    print("x" * 100_000)
    for number in range(int(inputs["lines"])):
        print("line", number)


BEHAVIOURS: dict[str, Callable[[ScriptedWorker, Assignment, JsonObject], None]] = {
    "ConformanceEcho": echo,
    "ConformanceWait": wait,
    "ConformanceWaitDeaf": wait_deaf,
    "ConformanceDie": die,
    "Leave": leave,
    "TalkNonsense": talk_nonsense,
    "HangUp": hang_up,
    "LeaveChild": leave_child,
    "PrintMuch": print_much,
}


def answer(question: ValidationQuestion) -> ValidationAnswer:
    text = question.constants.get("text")
    if text == "die":
        os._exit(5)
    if text == "silence":
        time.sleep(60)
    return ValidationAnswer(node_id=question.node_id, result="bad text" if text == "bad" else True)


def main() -> None:
    script = os.environ.get("SCRIPT", "")
    if "fail" in script:
        print("no such pack\nsorry", file=sys.stderr)
        sys.exit(1)
    if "deaf" in script:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sock = socket.socket(fileno=int(os.environ["COMFYKERNEL_WORKER_FD"]))
    worker = ScriptedWorker(BlockingChannel(sock, server_decoder()))
    worker.send(Ready(Catalog(fingerprint="scripted"), DEVICE, "9.9"))
    threading.Thread(target=worker.read, daemon=True).start()
    worker.run_forever()


if __name__ == "__main__":
    main()
