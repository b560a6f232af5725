"""The events of one job as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk import events as ev

from .outbox import Frame, Outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from comfykernel_sdk.events import NumberedEvent
    from comfykernel_sdk.transport import Kernel

KEEP_ALIVE_S: Final = 15.0
"""Seconds without an event after which a comment is sent: proxies close connections on which nothing moves."""

KEEP_ALIVE: Final = b": waiting\n\n"

SENT_AT_ONCE: Final = 64 * 1024
"""Bytes of events that are sent in one go."""

MOST_EVENTS: Final = 2**63 - 1
"""Highest number that an event can have."""


def last_seen(header: str | None) -> int:
    """Number of the event that a client had last; 0 when it does not say."""
    return int(header) if header is not None and len(header) < 20 and header.isascii() and header.isdecimal() else 0


async def event_stream(kernel: Kernel, job_id: str, since: int) -> AsyncIterator[bytes]:
    """What has happened to a job after event number ``since``, then what happens, to its end.

    For a client that reads slowly previews are left out, then older steps; when that is not enough the stream ends,
    and the client can go on after the last event that it had.
    """
    outbox = Outbox()
    pump = asyncio.create_task(_fill(outbox, kernel, job_id, since))
    try:
        while True:
            try:
                frames = await asyncio.wait_for(outbox.take(SENT_AT_ONCE), KEEP_ALIVE_S)
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            if not frames:
                break
            yield b"".join(frame.data for frame in frames if isinstance(frame.data, bytes))
    finally:
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pump


async def _fill(outbox: Outbox, kernel: Kernel, job_id: str, since: int) -> None:
    try:
        async for numbered in kernel.replay(job_id, since=since):
            match numbered.event:
                case ev.NodePreview():
                    outbox.put(Frame(_encoded(numbered), "preview"))
                case ev.NodeProgress(place=place):
                    outbox.put(Frame(_encoded(numbered), "state", place.node_id))
                case _:
                    outbox.put(Frame(_encoded(numbered)))
            if outbox.overflowed:
                return
    finally:
        outbox.finish()


def _encoded(numbered: NumberedEvent) -> bytes:
    kind = type(numbered.event).__struct_config__.tag
    data = msgspec.json.encode(numbered.event)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (numbered.number, str(kind).encode(), data)
