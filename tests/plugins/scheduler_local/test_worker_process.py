"""The worker as a process, spoken to as a scheduler does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from comfykernel_scheduler_local.blocking_channel import BlockingChannel
from comfykernel_sdk import channel
from comfykernel_sdk.events import ExecutionInterrupted, NodeStarted
from comfykernel_sdk.graph import Graph
from comfykernel_sdk.scheduler import Assignment, ValidationQuestion
from comfykernel_sdk.settings import PluginSettings, Settings

PATIENCE_S = 60.0
M = TypeVar("M")

NODES = """
import os, time
from comfykernel_sdk.context import NodeContext, current_context
from comfykernel_sdk.hooks import hookimpl
from comfykernel_sdk.nodes import NodePack, Result, node

@node("Show", output_node=True)
class Show:
    @staticmethod
    def validate(text: str) -> bool | str:
        return True if text != "bad" and current_context().files else "is bad"

    def run(self, text: str) -> Result[str]:
        print("shown", text)
        return Result(text, ui={"text": [text]})

@node("Wait", output_node=True)
def wait(heed: bool, context: NodeContext) -> None:
    while True:
        time.sleep(0.005)
        if heed:
            context.check_cancelled()

@node("Odd", output_node=True)
def odd() -> Result[None]:
    return Result(ui={"n": [2**70]})

@hookimpl
def register_nodes(register) -> None:
    register(NodePack("of_test", [Show, wait, odd]))
"""


class Worker:
    """A worker process and our end of its channel."""

    def __init__(self, process: subprocess.Popen[str], sock: socket.socket) -> None:
        self.process = process
        self.channel = BlockingChannel(sock, channel.worker_decoder())
        self.heard: list[channel.FromWorker] = []

    def until(self, kind: type[M], event: type | None = None) -> M:
        """Read up to a message of this kind."""
        while True:
            message = self.channel.receive()
            self.heard.append(message)
            said = message.events if isinstance(message, channel.Said) else []
            if isinstance(message, kind) and (event is None or any(isinstance(each, event) for each in said)):
                return message

    def run(self, graph: Graph, prompt_id: str = "p") -> None:
        self.channel.send(Assignment(prompt_id=prompt_id, graph=graph, outputs_to_execute=list(graph)))


@pytest.fixture
def worker(install_plugin: object, tmp_path: Path) -> Iterator[Worker]:
    assert callable(install_plugin)
    install_plugin("worker_nodes", "comfykernel.nodes", NODES)
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE_S)
    settings = Settings(plugins=PluginSettings())
    settings.paths.base = str(tmp_path)
    env = {
        **os.environ,
        "COMFYKERNEL_WORKER_FD": str(theirs.fileno()),
        "COMFYKERNEL_ENGINE": "comfykernel.engine:create_engine",
        "COMFYKERNEL_SETTINGS": msgspec.json.encode(settings).decode(),
        "COMFYKERNEL_DEVICE": "cpu",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "comfykernel_scheduler_local.worker"], env=env, pass_fds=[theirs.fileno()],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    theirs.close()
    with process, ours:
        yield Worker(process, ours)
        process.kill()


def show(text: str) -> Graph:
    return {"1": {"class_type": "Show", "inputs": {"text": text}}}


def wait(*, heed: bool) -> Graph:
    return {"1": {"class_type": "Wait", "inputs": {"heed": heed}}}


def test_a_worker_tells_its_nodes_and_runs_prompts(worker: Worker) -> None:
    ready = worker.until(channel.Ready)
    assert set(ready.catalog.nodes) == {"Show", "Wait", "Odd"}
    assert (ready.catalog.packs[0]["name"], ready.device.type, ready.torch_version) == ("of_test", "cpu", "")
    assert ready.catalog.fingerprint
    worker.run(show("a"))
    ended = worker.until(channel.Ended)
    assert (ended.prompt_id, ended.outcome.status, ended.outcome.outputs) == ("p", "done", {"1": {"text": ["a"]}})
    assert worker.until(channel.Memory).cache_bytes > 0
    worker.channel.send(channel.Free(unload_models=True, free_memory=True))
    assert worker.until(channel.Memory).cache_bytes == 0
    worker.channel.send(channel.Shutdown())
    assert worker.process.wait(PATIENCE_S) == 0
    assert worker.process.stdout is not None
    assert "shown a" in worker.process.stdout.read()


def test_an_interrupt_and_questions_arrive_while_a_node_computes(worker: Worker) -> None:
    worker.until(channel.Ready)
    worker.run(wait(heed=True))
    worker.until(channel.Said, NodeStarted)
    questions = [
        ValidationQuestion(node_id=text, class_type="Show", constants={"text": text}, input_types={})
        for text in ("good", "bad")
    ]
    worker.channel.send(channel.Validate(7, questions))
    validated = worker.until(channel.Validated)
    assert (validated.id, [answer.result for answer in validated.answers]) == (7, [True, "is bad"])
    worker.channel.send(channel.Interrupt("other"))
    worker.channel.send(channel.Interrupt("p"))
    worker.until(channel.Said, ExecutionInterrupted)
    assert worker.until(channel.Ended).outcome.status == "cancelled"
    worker.run(show("next"), "q")
    assert worker.until(channel.Ended).outcome.status == "done"


def test_a_prompt_is_cancelled_before_it_runs(worker: Worker) -> None:
    worker.until(channel.Ready)
    worker.run(wait(heed=True), "p")
    worker.run(wait(heed=True), "q")
    worker.channel.send(channel.Interrupt("q"))
    worker.until(channel.Said, NodeStarted)
    worker.channel.send(channel.Interrupt("p"))
    ended = [worker.until(channel.Ended) for _ in range(2)]
    assert [(each.prompt_id, each.outcome.status) for each in ended] == [("p", "cancelled"), ("q", "cancelled")]
    events = [event for message in worker.heard if isinstance(message, channel.Said) for event in message.events]
    assert [event.prompt_id for event in events if isinstance(event, NodeStarted)] == ["p"]


def test_a_worker_ends_with_its_server_whatever_it_computes(worker: Worker) -> None:
    worker.until(channel.Ready)
    worker.run(wait(heed=False))
    worker.until(channel.Said, NodeStarted)
    worker.channel.close()
    assert worker.process.wait(PATIENCE_S) == 0


def test_what_can_not_be_sent_fails_the_prompt_and_not_the_worker(worker: Worker) -> None:
    worker.until(channel.Ready)
    worker.run({"1": {"class_type": "Odd", "inputs": {}}})
    ended = worker.until(channel.Ended)
    assert ended.outcome.status == "failed"
    worker.run(show("next"), "q")
    assert worker.until(channel.Ended).outcome.status == "done"
