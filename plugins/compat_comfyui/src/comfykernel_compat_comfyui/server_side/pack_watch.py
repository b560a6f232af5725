"""Keeps what the server knows of packs in step with the worker: interfaces, posted prompts, messages, model folders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk.errors import Unavailable
from comfykernel_sdk.jobs import PromptRequest
from comfykernel_sdk.nodes import NodeSpec

from ..service_address import MESSAGES, PROMPT, SPECS
from .worker_link import HOST, WorkerLink

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.transport import Kernel

log = logging.getLogger(__name__)

SendMessage = Callable[[str, "Json", "str | None"], None]
"""``send(event, data, client_id)``; ``None``: to all clients."""

SPECS_WAIT_S: Final = 10.0
"""Seconds that whoever asks for nodes waits for their interfaces of now; then those known last are told."""
PROMPT_WAIT_S: Final = 30.0
"""Seconds that handlers of packs may take to look at a posted prompt; then it goes on as it was posted."""
RETRY_S: Final = 1.0
"""Seconds between two looks for a worker that has messages."""

_specs = msgspec.msgpack.Decoder(dict[str, NodeSpec])


class PackWatch:
    """The server's side of packs. Made once, when the transports listen."""

    def __init__(self, kernel: Kernel, link: WorkerLink) -> None:
        self._kernel = kernel
        self._link = link
        self._messages: asyncio.Task[None] | None = None

    async def refresh(self, ids: list[str] | None = None) -> None:
        """Have the interfaces of nodes (of all packs, or these) told anew; keeps what is known when that fails."""
        if not self._link.about():
            return
        self._search_folders()
        if self._link.socket() is None:
            return
        try:
            async with asyncio.timeout(SPECS_WAIT_S):
                answer = await self._ask(SPECS, msgspec.json.encode(ids))
        except (TimeoutError, OSError, Unavailable) as error:
            log.warning("The worker did not tell what its nodes look like now: %s", error or "it takes too long")
            return
        changed = _specs.decode(answer)
        known = self._kernel.node_specs()
        named = {
            id: msgspec.structs.replace(spec, distribution=known[id].distribution)
            for id, spec in changed.items()
            if id in known and known[id].python_module == spec.python_module
        }
        if named:
            self._kernel.update_nodes(named)

    async def change_prompt(self, request: PromptRequest) -> PromptRequest:
        """A posted prompt after the handlers of packs have seen it; its nodes of packs are told anew."""
        about = self._link.about()
        if about.get("changes_prompts"):
            request = await self._handled(request)
        ids = {str(node.get("class_type")) for node in request.graph.values() if isinstance(node, dict)}
        specs = self._kernel.node_specs()
        if wanted := sorted(id for id in ids if id in specs and _is_of_a_pack(specs[id])):
            await self.refresh(wanted)
        return request

    async def _handled(self, request: PromptRequest) -> PromptRequest:
        posted: JsonObject = {
            "prompt": {**request.graph}, "extra_data": dict(request.extra_data), "client_id": request.client_id,
            "prompt_id": request.prompt_id, "partial_execution_targets": request.partial_execution_targets,  # type: ignore[dict-item]
            "number": request.number, "front": request.front,
        }  # fmt: skip
        posted = {name: value for name, value in posted.items() if value is not None and value is not False}
        try:
            async with asyncio.timeout(PROMPT_WAIT_S):
                changed = msgspec.json.decode(await self._ask(PROMPT, msgspec.json.encode(posted)), type=dict)
        except (TimeoutError, OSError, Unavailable, msgspec.MsgspecError) as error:
            log.warning("Handlers of packs did not see a prompt, it goes on as it was posted: %r", error)
            return request
        return msgspec.structs.replace(
            request,
            graph=changed.get("prompt") or request.graph,
            extra_data=changed.get("extra_data") or {},
            client_id=changed.get("client_id"),
            prompt_id=changed.get("prompt_id"),
            partial_execution_targets=changed.get("partial_execution_targets"),
        )

    async def _ask(self, path: str, body: bytes) -> bytes:
        async with self._link.session().post(HOST + path, data=body) as response:
            if response.status != 200:
                raise Unavailable(f"The worker answers {path} with {response.status}.")
            return await response.read()

    def _search_folders(self) -> None:
        """Let the server list the model folders that packs have added."""
        added = self._link.about().get("model_folders")
        for folder, places in added.items() if isinstance(added, dict) else ():
            for place in places if isinstance(places, list) else ():
                self._kernel.models.add_root(folder, Path(str(place)))

    def listen(self, send: SendMessage) -> None:
        """Pass on messages of packs that belong to no run, from now on."""
        self._messages = asyncio.create_task(self._pass_on_messages(send))

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._messages is not None:
            self._messages.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._messages
        await self._link.close()

    async def _pass_on_messages(self, send: SendMessage) -> None:
        while True:
            with contextlib.suppress(OSError, Unavailable, TimeoutError):
                await self._read_messages(send)
            await asyncio.sleep(RETRY_S)

    async def _read_messages(self, send: SendMessage) -> None:
        if not self._link.about() or self._link.socket() is None:
            return
        async with self._link.session().get(HOST + MESSAGES, timeout=None) as response:
            async for line in response.content:
                if line.strip():
                    message = msgspec.json.decode(line, type=dict)
                    send(str(message["event"]), message["data"], message["client_id"])


def _is_of_a_pack(spec: NodeSpec) -> bool:
    return spec.python_module.startswith("custom_nodes.")
