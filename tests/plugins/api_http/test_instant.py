from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Serve, Served


class Raw:
    """A connection whose bytes the test writes and reads itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answers(self, count: int) -> list[tuple[bytes, bytes]]:
        found = []
        for _ in range(count):
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            found.append((head, await self.reader.readexactly(length)))
        return found


async def connect(served: Served) -> Raw:
    host, port = served.address.removeprefix("http://").split(":")
    return Raw(*await asyncio.open_connection(host, int(port)))


def request(method: str = "GET", path: str = "/prompt", *more: str, version: str = "1.1", body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *more]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


INFO = b'{"exec_info":{"queue_remaining":0}}'


async def test_both_ways_give_the_same_answer(served: Served) -> None:
    await served.submit("p")
    for path in ("/prompt", "/api/prompt", "/queue", "/api/queue"):
        instant, usual = await served.http.get(path), await served.http.get(path + "?")
        assert instant.json() == usual.json()
        assert {**instant.headers, "date": ""} == {**usual.headers, "date": ""}
        assert instant.headers["date"]


async def test_many_requests_on_one_connection_are_answered_in_order(served: Served) -> None:
    raw = await connect(served)
    raw.writer.write(request() + request("GET", "/history") + request() + request("GET", "/queue") + request())
    bodies = [body for _, body in await raw.answers(5)]
    assert bodies == [INFO, b"{}", INFO, b'{"queue_running":[],"queue_pending":[]}', INFO]
    raw.writer.close()


async def test_a_body_is_read_past(served: Served) -> None:
    raw = await connect(served)
    raw.writer.write(request("GET", "/prompt", "Content-Length: 5", body="12345") + request())
    assert [body for _, body in await raw.answers(2)] == [INFO, INFO]
    raw.writer.close()


@pytest.mark.parametrize(
    ("sent", "closes"),
    [
        (request("GET", "/prompt", "Connection: close"), True),
        (request(version="1.0"), True),
        (request("GET", "/prompt", "Connection: keep-alive"), False),
    ],
)
async def test_a_connection_ends_when_the_client_says_so(served: Served, sent: bytes, closes: bool) -> None:
    raw = await connect(served)
    raw.writer.write(sent)
    assert (await raw.answers(1))[0][1] == INFO
    if closes:
        assert await asyncio.wait_for(raw.reader.read(), 5) == b""
    raw.writer.close()


async def test_head_and_a_foreign_origin_take_the_usual_way(served: Served) -> None:
    raw = await connect(served)
    raw.writer.write(request("GET", "/prompt", "Origin: http://evil.example"))
    head, body = (await raw.answers(1))[0]
    assert head.startswith(b"HTTP/1.1 403")
    assert b"foreign_origin" in body
    raw.writer.close()
    assert (await served.http.head("/prompt")).content == b""


async def test_cors_headers_are_there(serve: Serve) -> None:
    async with serve(cors_origin="*") as served:
        assert (await served.http.get("/queue")).headers["access-control-allow-origin"] == "*"
