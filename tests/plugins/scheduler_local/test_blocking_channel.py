"""The channel for code without an event loop."""

from __future__ import annotations

import socket
import threading

import pytest

from comfykernel_scheduler_local.blocking_channel import BlockingChannel
from comfykernel_sdk import channel
from comfykernel_sdk.scheduler import Assignment

MESSAGES: list[channel.ToWorker] = [
    Assignment(prompt_id="p", graph={"1": {"class_type": "X", "inputs": {}}}, outputs_to_execute=["1"]),
    channel.Interrupt("p"),
    channel.Shutdown(),
]


def test_messages_arrive_as_they_were_until_the_other_side_is_gone() -> None:
    ours, theirs = socket.socketpair()
    server = BlockingChannel(ours, channel.worker_decoder())
    worker = BlockingChannel(theirs, channel.server_decoder())
    for message in MESSAGES:
        server.send(message)
    assert [worker.receive() for _ in MESSAGES] == MESSAGES
    server.close()
    with pytest.raises(EOFError):
        worker.receive()
    worker.close()


def test_several_threads_may_send() -> None:
    ours, theirs = socket.socketpair()
    one = BlockingChannel(ours, channel.worker_decoder())
    other = BlockingChannel(theirs, channel.server_decoder())
    messages = [channel.Interrupt("x" * size) for size in range(0, 20_000, 100)]
    threads = [threading.Thread(target=one.send, args=(message,)) for message in messages]
    for thread in threads:
        thread.start()
    found = [other.receive() for _ in messages]
    for thread in threads:
        thread.join()
    assert sorted(len(m.prompt_id) for m in found if isinstance(m, channel.Interrupt)) == list(range(0, 20_000, 100))
    one.close()
    other.close()
