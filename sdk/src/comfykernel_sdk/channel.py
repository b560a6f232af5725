"""The language between server and worker: length-prefixed msgpack of sdk structs over a stream socket.

A frame is a big-endian u32 length and that many bytes of msgpack. Nothing large passes: results go to the file
store. Both sides hold one end of a socket pair; when one side dies the other reads the end of the stream.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final, TypeAlias, TypeVar

import msgspec

from .events import Event
from .jobs import Outcome
from .scheduler import Assignment, Catalog, DeviceStatus, ValidationAnswer, ValidationQuestion

MAX_FRAME: Final = 256 * 1024 * 1024
"""Bytes; a longer frame means that the two sides have lost step."""

T = TypeVar("T")


class Interrupt(msgspec.Struct, frozen=True, tag_field="type", tag="interrupt"):
    """To the worker: stop this prompt."""

    prompt_id: str


class Validate(msgspec.Struct, frozen=True, tag_field="type", tag="validate"):
    """To the worker: ask these validators; answered by :class:`Validated` with the same id."""

    id: int
    questions: list[ValidationQuestion]


class Free(msgspec.Struct, frozen=True, tag_field="type", tag="free"):
    """To the worker: drop models or cached outputs as soon as no prompt runs."""

    unload_models: bool
    free_memory: bool


class Shutdown(msgspec.Struct, frozen=True, tag_field="type", tag="shutdown"):
    """To the worker: end now, without finishing what runs."""


class Ready(msgspec.Struct, frozen=True, tag_field="type", tag="ready"):
    """From the worker: nodes are loaded, prompts may come."""

    catalog: Catalog
    device: DeviceStatus
    torch_version: str = ""


class Said(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """From the worker: events of the job that runs, in their order."""

    events: list[Event]


class Ended(msgspec.Struct, frozen=True, tag_field="type", tag="ended"):
    """From the worker: a prompt has ended."""

    prompt_id: str
    outcome: Outcome


class Validated(msgspec.Struct, frozen=True, tag_field="type", tag="validated"):
    """From the worker: answers to :class:`Validate`."""

    id: int
    answers: list[ValidationAnswer]


class Memory(msgspec.Struct, frozen=True, tag_field="type", tag="memory"):
    """From the worker: what it holds now, in bytes; sent after each prompt and each :class:`Free`."""

    device: DeviceStatus
    cache_bytes: int = 0
    model_bytes: int = 0


ToWorker: TypeAlias = Assignment | Interrupt | Validate | Free | Shutdown
FromWorker: TypeAlias = Ready | Said | Ended | Validated | Memory

LENGTH: Final = struct.Struct(">I")
"""Of the message that follows, in bytes."""

_encoder = msgspec.msgpack.Encoder()


def encode_frame(message: ToWorker | FromWorker) -> bytes:
    """A whole frame, ready to be sent."""
    buffer = bytearray(4)
    _encoder.encode_into(message, buffer, 4)
    LENGTH.pack_into(buffer, 0, len(buffer) - 4)
    return bytes(buffer)


def worker_decoder() -> msgspec.msgpack.Decoder[FromWorker]:
    """Decoder of what workers say."""
    return msgspec.msgpack.Decoder(FromWorker)


def server_decoder() -> msgspec.msgpack.Decoder[ToWorker]:
    """Decoder of what the server says."""
    return msgspec.msgpack.Decoder(ToWorker)


async def read_frame(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """Next message of an asyncio stream.

    Raises:
        EOFError: the other side is gone.
        msgspec.MsgspecError: what came is no message.
    """
    try:
        (size,) = LENGTH.unpack(await reader.readexactly(4))
        if size > MAX_FRAME:
            raise msgspec.DecodeError(f"a frame of {size} bytes")
        return decoder.decode(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError("the other side closed the channel") from error
