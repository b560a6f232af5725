"""The language between server and worker."""

from __future__ import annotations

import asyncio
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_sdk import channel
from comfykernel_sdk.events import ExecutionCached, NodePlace, NodePreview
from comfykernel_sdk.jobs import Outcome
from comfykernel_sdk.scheduler import Assignment, Catalog, DeviceStatus, ValidationAnswer, ValidationQuestion

DEVICE = DeviceStatus(name="cpu", type="cpu")
TO_WORKER: list[channel.ToWorker] = [
    Assignment(
        prompt_id="p", graph={"1": {"class_type": "X", "inputs": {"seed": 2**64 - 1}}}, outputs_to_execute=["1"]
    ),
    channel.Interrupt("p"),
    channel.Validate(3, [ValidationQuestion(node_id="1", class_type="X", constants={"a": None}, input_types={})]),
    channel.Free(unload_models=True, free_memory=False),
    channel.Shutdown(),
]
FROM_WORKER: list[channel.FromWorker] = [
    channel.Ready(Catalog(fingerprint="f"), DEVICE, "2.0"),
    channel.Said([ExecutionCached(prompt_id="p", nodes=["1"])]),
    channel.Said([NodePreview(prompt_id="p", place=NodePlace("1", "1"), image=b"\0x", format="PNG")]),
    channel.Ended("p", Outcome(status="done", messages=[("a", {"nan": float("inf")})])),
    channel.Validated(3, [ValidationAnswer(node_id="1", result="text", error={"traceback": []})]),
    channel.Memory(DEVICE, 5, 6),
]


async def read_all(data: bytes) -> list[channel.FromWorker]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found: list[channel.FromWorker] = []
    decoder = channel.worker_decoder()
    while not reader.at_eof():
        found.append(await channel.read_frame(reader, decoder))
    return found


async def test_messages_of_the_worker_arrive_as_they_were() -> None:
    assert await read_all(b"".join(channel.encode_frame(message) for message in FROM_WORKER)) == FROM_WORKER


def test_messages_to_the_worker_arrive_as_they_were() -> None:
    decoder = channel.server_decoder()
    frames = [channel.encode_frame(message) for message in TO_WORKER]
    assert [channel.LENGTH.unpack(frame[:4]) for frame in frames] == [(len(frame) - 4,) for frame in frames]
    assert [decoder.decode(frame[4:]) for frame in frames] == TO_WORKER


async def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        await read_all(struct.pack(">I", channel.MAX_FRAME + 1))


@given(data=st.binary(max_size=40))
def test_garbage_is_an_error_and_never_a_message(data: bytes) -> None:
    try:
        messages = asyncio.run(read_all(struct.pack(">I", len(data)) + data))
    except (msgspec.MsgspecError, EOFError):
        return
    assert all(isinstance(message, msgspec.Struct) for message in messages)
