"""A transport that really listens, over a kernel whose runs the tests script."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from comfykernel_api_http.transport import HttpTransport
from comfykernel_sdk.settings import HttpSettings, PathSettings, Settings

from .kernel_in_memory import MemoryKernel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GRAPH: dict[str, Any] = {"1": {"class_type": "Echo", "inputs": {"value": "a"}}}


class Served:
    """A running transport with its kernel and a client."""

    def __init__(self, kernel: MemoryKernel, address: str, http: httpx.AsyncClient) -> None:
        self.kernel = kernel
        self.address = address
        self.http = http
        self._sockets = contextlib.AsyncExitStack()

    async def socket(self, sid: str | None = None, **options: Any) -> Listener:
        query = "" if sid is None else f"?clientId={sid}"
        link = await connect(self.address.replace("http", "ws") + "/ws" + query, max_size=None, **options)
        self._sockets.push_async_callback(link.close)
        return Listener(link)

    async def submit(self, prompt_id: str, **more: Any) -> None:
        body = {"prompt": GRAPH, "prompt_id": prompt_id, **more}
        assert (await self.http.post("/prompt", json=body)).status_code == 200

    async def close(self) -> None:
        await self._sockets.aclose()


class Listener:
    """The client's end of a WebSocket."""

    def __init__(self, link: ClientConnection) -> None:
        self.link = link

    async def next(self) -> Any:
        frame = await asyncio.wait_for(self.link.recv(), 5)
        return frame if isinstance(frame, bytes) else json.loads(frame)

    async def until(self, type: str) -> list[Any]:
        seen: list[Any] = []
        while not seen or isinstance(seen[-1], bytes) or seen[-1]["type"] != type:
            seen.append(await self.next())
        return seen

    async def quiet(self) -> list[Any]:
        """Everything that still comes."""
        seen: list[Any] = []
        with contextlib.suppress(TimeoutError):
            while True:
                frame = await asyncio.wait_for(self.link.recv(), 0.1)
                seen.append(frame if isinstance(frame, bytes) else json.loads(frame))
        return seen


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Served]]


@contextlib.asynccontextmanager
async def serving(folder: Path, **http: Any) -> AsyncIterator[Served]:
    settings = Settings(paths=PathSettings(base=str(folder)), http=HttpSettings(port=0, **http))
    kernel = MemoryKernel(settings)
    transport = HttpTransport(settings)
    await transport.start(kernel)
    address = transport.addresses()[0]
    async with httpx.AsyncClient(base_url=address, timeout=20, trust_env=False, verify=False) as client:
        served = Served(kernel, address, client)
        try:
            yield served
        finally:
            await served.close()
            await client.aclose()
            await transport.stop()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Starts a transport with other settings: ``async with serve(port=...) as served``."""
    return lambda **http: serving(tmp_path, **http)
