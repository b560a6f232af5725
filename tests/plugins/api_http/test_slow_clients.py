"""Clients that do not read: they cost the others nothing, and are told or cut off."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from comfykernel_api_http import job_events, outbox
from comfykernel_api_http.sockets import connection
from comfykernel_sdk.events import NodePlace, NodePreview, NodeText

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import Served

LARGE = "x" * 1_000_000
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


class Deaf:
    """A client that has opened a connection and reads nothing until it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def listen(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def deaf(served: Served, request: str) -> AsyncIterator[Deaf]:
    where = urlsplit(served.address)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (where.hostname, where.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=2**30)
    writer.write(f"{request} HTTP/1.1\r\nHost: {where.netloc}\r\n".encode())
    writer.write((UPGRADE + KEY + "\r\n" if "/ws" in request else "\r\n").encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    yield Deaf(reader, writer)
    writer.transport.abort()


async def tell_much(served: Served, frames: int) -> None:
    for _ in range(frames):
        served.kernel.publish(NodeText(prompt_id="p", node_id="1", text=LARGE, broadcast=True))
        await asyncio.sleep(0.005)


async def test_others_hear_all_and_the_deaf_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "GRACE_S", 0.3)
    other = await served.socket("other")
    await other.next()
    async with deaf(served, "GET /ws?clientId=deaf") as client:
        telling = asyncio.create_task(tell_much(served, 60))
        heard = [await other.next() for _ in range(60)]
        await telling
        assert all(len(frame) > len(LARGE) for frame in heard)
        await asyncio.sleep(0.5)
        client.listen()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(client.reader.readexactly(2**28), 5)
    assert (await served.http.get("/prompt")).status_code == 200


async def test_a_deaf_client_that_reads_again_in_time_is_told_why(served: Served) -> None:
    async with deaf(served, "GET /ws?clientId=deaf") as client:
        await tell_much(served, 60)
        client.listen()
        reason = connection.REASON.encode()
        farewell = struct.pack(">BBH", 0x88, 2 + len(reason), connection.TOO_SLOW) + reason
        told = await asyncio.wait_for(client.reader.readuntil(farewell), 10)
    # What waited was dropped: no client's slowness is kept in memory.
    assert len(told) < outbox.MAX_BYTES


async def test_a_stream_of_events_leaves_out_pictures_for_the_deaf(served: Served) -> None:
    await served.submit("p")
    served.kernel.start("p")
    picture = NodePreview(prompt_id="p", place=NodePlace("1", "1"), image=b"x" * 1_000_000, format="JPEG")
    served.kernel.told["p"] = [*served.kernel.told["p"], *[picture] * 60]
    served.kernel.end("p")
    async with deaf(served, "GET /jobs/p/events") as client:
        await asyncio.sleep(0.5)
        client.listen()
        told = await asyncio.wait_for(client.reader.readuntil(b"event: job_finished"), 10)
    assert told.count(b"event: preview") < 30


async def test_a_stream_without_news_says_that_it_is_there(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_events, "KEEP_ALIVE_S", 0.05)
    await served.submit("p")
    served.kernel.hold_replay = asyncio.Event()
    async with served.http.stream("GET", "/jobs/p/events") as answer:
        lines = answer.aiter_lines()
        seen = [await anext(lines) for _ in range(4)]
        assert ": waiting" in seen
        served.kernel.hold_replay.set()
        assert [line async for line in lines if line.startswith("event")] == []
