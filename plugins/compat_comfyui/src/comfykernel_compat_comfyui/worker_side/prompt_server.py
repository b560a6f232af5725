"""The server as packs see it: routes, messages to clients, the prompt that was posted."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from aiohttp import web

from comfykernel_sdk.context import Preview, current

from ..missing_names import missing_attribute, not_provided
from ..previews import encoded_preview
from ..running_nodes import context_of, last_context
from .messages import Outbox

if TYPE_CHECKING:
    from comfykernel_sdk.context import NodeContext

log = logging.getLogger(__name__)

PromptHandler: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
LARGEST_BODY: Final = 2**32
"""Bytes; the server has its own limit."""


class BinaryEventTypes(IntEnum):
    """Kinds of binary messages."""

    PREVIEW_IMAGE = 1
    UNENCODED_PREVIEW_IMAGE = 2
    TEXT = 3
    PREVIEW_IMAGE_WITH_METADATA = 4


class UserFiles:
    """Users, as far as routes ask for them."""

    def __init__(self, folder: Callable[[], str]) -> None:
        self._folder = folder

    def get_request_user_id(self, request: web.Request) -> str:
        """The user that a request names."""
        return request.headers.get("comfy-user") or "default"

    def get_request_user_filepath(
        self, request: web.Request, file: str | None, type: str = "userdata", create_dir: bool = True
    ) -> str | None:
        """The path of a user's file; ``None`` when the name leads out of the user's folder."""
        root = os.path.abspath(os.path.join(self._folder(), self.get_request_user_id(request)))
        path = os.path.abspath(os.path.join(root, file)) if file is not None else root
        if os.path.commonpath((os.path.abspath(self._folder()), root, path)) != os.path.abspath(self._folder()):
            return None
        if os.path.commonpath((root, path)) != root:
            return None
        if create_dir:
            os.makedirs(os.path.dirname(path) if file is not None else path, exist_ok=True)
        return path


class PromptQueue:
    """The queue lives in the server: here it is always empty."""

    currently_running: ClassVar[dict[int, object]] = {}

    def get_tasks_remaining(self) -> int:
        """Jobs that wait or run, as far as the worker knows: none but the one that runs."""
        return int(current.get() is not None)

    def get_current_queue(self) -> tuple[list[object], list[object]]:
        """Running and waiting jobs."""
        return [], []

    get_current_queue_volatile = get_current_queue

    def get_history(self, prompt_id: str | None = None, max_items: int | None = None, offset: int = -1) -> (
        dict[str, object]
    ):  # fmt: skip
        """Ended jobs."""
        return {}

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("server.PromptServer.instance.prompt_queue", name)


class PromptServer:
    """The one object behind ``PromptServer.instance``."""

    instance: ClassVar[PromptServer]

    def __init__(self, user_folder: Callable[[], str], address: str, port: int) -> None:
        self.routes = web.RouteTableDef()
        self.app = web.Application(client_max_size=LARGEST_BODY)
        self.loop = asyncio.new_event_loop()
        self.outbox = Outbox()
        self.on_prompt_handlers: list[PromptHandler] = []
        self.prompt_queue = PromptQueue()
        self.user_manager = UserFiles(user_folder)
        self.address, self.port = address, port
        self.supports = ["custom_nodes_from_web"]
        self.number = 0
        self.sockets: dict[str, object] = {}
        self.sockets_metadata: dict[str, dict[str, object]] = {}
        self.messages: asyncio.Queue[object] = asyncio.Queue()
        self.last_prompt_id: str | None = None

    @property
    def client_id(self) -> str | None:
        """The client of the prompt that runs, or ran last."""
        context = last_context()
        return None if context is None else context.client_id

    @client_id.setter
    def client_id(self, value: str | None) -> None:
        log.debug("A pack sets the client of the running prompt to %r; it stays what it is.", value)

    @property
    def last_node_id(self) -> str | None:
        """The node that runs, or ran last."""
        context = last_context()
        return None if context is None else context.node_id

    @last_node_id.setter
    def last_node_id(self, value: str | None) -> None:
        log.debug("A pack sets the running node to %r; it stays what it is.", value)

    def add_on_prompt_handler(self, handler: PromptHandler) -> None:
        """Have a function see and change what is posted to ``/prompt``, before it is checked."""
        self.on_prompt_handlers.append(handler)

    def trigger_on_prompt(self, json_data: dict[str, Any]) -> dict[str, Any]:
        """Pass a posted prompt through all handlers; one that fails is named in the log and left out."""
        for handler in self.on_prompt_handlers:
            try:
                json_data = handler(json_data)
            except Exception:  # the code of a node pack
                log.exception("A handler of posted prompts failed: %r", handler)
        return json_data

    def send_sync(self, event: str | int, data: Any, sid: str | None = None) -> None:
        """Send a message to a client (``None``: to all), from any thread."""
        if isinstance(event, int):
            self._send_binary(event, data)
            return
        context = current.get()
        if event == "progress" and isinstance(data, dict) and self._progress(data):
            return
        if context is not None:
            context.send(event, data, client_id=sid)
        else:
            self.outbox.put(event, data, sid)

    async def send(self, event: str | int, data: Any, sid: str | None = None) -> None:
        """The same from a coroutine."""
        self.send_sync(event, data, sid)

    send_json = send

    def send_progress_text(self, text: bytes | bytearray | str, node_id: str, sid: str | None = None) -> None:
        """Show a text at a node; without ``sid`` to every client."""
        context = context_of(node_id)
        text = text if isinstance(text, str) else bytes(text).decode()
        if context is not None:
            context.text(text, broadcast=sid is None)

    def _send_binary(self, event: int, data: Any) -> None:
        context = context_of()
        if context is None:
            return
        if event == BinaryEventTypes.TEXT:
            raise not_provided("server.PromptServer.instance.send_sync(BinaryEventTypes.TEXT)")
        preview = encoded_preview(data) if event == BinaryEventTypes.UNENCODED_PREVIEW_IMAGE else _encoded(data)
        if preview is not None:
            context.preview(preview)

    def _progress(self, data: dict[str, Any]) -> bool:
        """Steps of a running node go the way of all steps."""
        node = data.get("node")
        context: NodeContext | None = context_of(None if node is None else str(node))
        if context is None or "value" not in data or "max" not in data:
            return False
        context.progress(float(data["value"]), float(data["max"]))
        return True

    def queue_updated(self) -> None:
        """Clients hear of the queue from the server itself."""

    def get_queue_info(self) -> dict[str, Any]:
        """How many jobs wait or run."""
        return {"exec_info": {"queue_remaining": self.prompt_queue.get_tasks_remaining()}}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("server.PromptServer.instance", name)


def _encoded(data: Any) -> Preview | None:
    """A picture that is encoded already."""
    if not isinstance(data, (bytes, bytearray)):
        return encoded_preview(data)
    return Preview(bytes(data), "PNG" if data[:4] == b"\x89PNG" else "JPEG")
