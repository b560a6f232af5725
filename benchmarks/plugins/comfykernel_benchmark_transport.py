"""A transport that does what the server's own one does on the hot routes, written in aiohttp in the usual way.

It stands in the same process on the same kernel, so that only the cost of the transport differs: a router, objects
turned into JSON for each request, files sent as files.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import web
from PIL import Image

from comfykernel_sdk.events import NodePreview, NodeProgress
from comfykernel_sdk.hooks import hookimpl
from comfykernel_sdk.jobs import PromptRequest
from comfykernel_sdk.storage import FileRef

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterTransport
    from comfykernel_sdk.jobs import Job
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.transport import Kernel

PORT_VARIABLE: Final = "BENCHMARK_AIOHTTP_PORT"


def queue_item(job: Job) -> list[object]:
    return [int(job.number), job.prompt_id, job.graph, job.extra_data, job.outputs_to_execute]


def history_entry(job: Job) -> dict[str, object]:
    outcome = job.outcome
    assert outcome is not None
    done = outcome.status == "done"
    return {
        "prompt": queue_item(job),
        "outputs": outcome.outputs,
        "status": {
            "status_str": "success" if done else "error",
            "completed": done,
            "messages": outcome.messages,
        },
        "meta": outcome.meta,
    }


class AiohttpTransport:
    """The hot routes on a port of their own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.runner: web.AppRunner | None = None
        self.sockets: set[web.WebSocketResponse] = set()

    async def start(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.info = json.loads((await kernel.object_info()).json)
        app = web.Application()
        app.add_routes(
            [
                web.get("/queue", self.get_queue),
                web.get("/prompt", self.get_prompt),
                web.post("/prompt", self.post_prompt),
                web.get("/history", self.get_history),
                web.get("/object_info", self.get_object_info),
                web.get("/view", self.view),
                web.get("/ws", self.socket),
            ]
        )
        self.runner = web.AppRunner(app, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
        self.telling = asyncio.create_task(self.tell_previews())

    async def stop(self) -> None:
        self.telling.cancel()
        if self.runner is not None:
            await self.runner.cleanup()

    def addresses(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port}"]

    async def get_queue(self, request: web.Request) -> web.Response:
        running = [queue_item(job) for job in self.kernel.running()]
        pending = [queue_item(job) for job in self.kernel.pending()]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def get_prompt(self, request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": self.kernel.queue_remaining()}})

    async def post_prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = await self.kernel.submit(PromptRequest(graph=body["prompt"]))
        return web.json_response({"prompt_id": made.prompt_id, "number": made.number, "node_errors": made.node_errors})

    async def get_history(self, request: web.Request) -> web.Response:
        limit = int(request.query["max_items"]) if "max_items" in request.query else None
        jobs = await self.kernel.history(limit=limit, newest_first=True)
        return web.json_response({job.prompt_id: history_entry(job) for job in reversed(jobs)})

    async def get_object_info(self, request: web.Request) -> web.Response:
        return web.json_response(self.info)

    async def view(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        ref = FileRef(query["filename"], query.get("subfolder", ""), query["type"])  # type: ignore[arg-type]
        path = self.kernel.files.local_path(ref)
        headers = {"Content-Disposition": f'filename="{ref.filename}"'}
        if "preview" not in query:
            return web.FileResponse(path, headers=headers)
        format, _, quality = query["preview"].partition(";")
        with Image.open(path) as image:
            stream = io.BytesIO()
            image.save(stream, format, quality=int(quality or 90))
        return web.Response(body=stream.getvalue(), content_type=f"image/{format}", headers=headers)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        try:
            async for _ in socket:
                pass
        finally:
            self.sockets.discard(socket)
        return socket

    async def tell_previews(self) -> None:
        """Tell everybody of each step: its progress, the state of the node, the preview."""
        async for bus_event in self.kernel.subscribe():
            event = bus_event.event
            if isinstance(event, NodeProgress):
                node = event.place.node_id
                step = {"value": event.value, "max": event.max, "prompt_id": event.prompt_id, "node": node}
                state = {**step, "state": event.state, "node_id": node, "display_node_id": node}
                told = {"prompt_id": event.prompt_id, "nodes": {node: state}}
                await self.tell(json.dumps({"type": "progress_state", "data": told}))
                if event.announce == "progress":
                    await self.tell(json.dumps({"type": "progress", "data": step}))
            elif isinstance(event, NodePreview):
                await self.tell(struct.pack(">II", 1, 1) + event.image)

    async def tell(self, message: str | bytes) -> None:
        for socket in list(self.sockets):
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))


def make(settings: Settings) -> AiohttpTransport:
    return AiohttpTransport(int(os.environ[PORT_VARIABLE]))


@hookimpl
def register_transports(register: RegisterTransport) -> None:
    """Offer the transport ``benchmark-aiohttp``."""
    register("benchmark-aiohttp", make)
