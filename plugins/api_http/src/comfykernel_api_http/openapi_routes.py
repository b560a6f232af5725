"""Declares to the OpenAPI document the operations that are served past the router; none of these is ever called."""

from __future__ import annotations

from typing import Literal

from litestar import get, post
from litestar.params import FromPath, FromQuery

from .handlers import image, node, queue, workflow
from .routes import need_upgrade


@get("/prompt", operation_id="getPromptInfo", tags=["workflow"], summary="Get the number of prompts")
async def get_prompt_info() -> None:
    """How many prompts wait or run."""


@post("/prompt", operation_id="executePrompt", tags=["workflow"], summary="Submit a workflow", status_code=200)
async def execute_prompt() -> None:
    """Put a workflow into the queue. What happens to it is told over the WebSocket."""


@get("/queue", operation_id="getQueueInfo", tags=["queue"], summary="Get the queue")
async def get_queue_info() -> None:
    """Prompts that run, and those that wait in the order in which they will run."""


@post("/queue", operation_id="manageQueue", tags=["queue"], summary="Manage the queue", status_code=200)
async def manage_queue() -> None:
    """Take all waiting prompts out, or some."""


@post("/interrupt", operation_id="interruptExecution", tags=["workflow"], summary="Interrupt", status_code=200)
async def interrupt_execution() -> None:
    """Cancel what runs, or one prompt if it runs."""


@get("/history", operation_id="getHistory", tags=["workflow"], summary="Get the history")
async def get_history(max_items: FromQuery[int | None] = None, offset: FromQuery[int | None] = None) -> None:
    """Prompts that have ended, oldest first. Without /api, and for the web page: an object by prompt id."""


@post("/history", operation_id="manageHistory", tags=["workflow"], summary="Manage the history", status_code=200)
async def manage_history() -> None:
    """Forget all prompts that have ended, or some."""


@get("/history/{prompt_id:str}", operation_id="getHistoryItem", tags=["workflow"], summary="Get an ended prompt")
async def get_history_item(prompt_id: FromPath[str]) -> None:
    """One prompt that has ended. Without /api, and for the web page: an object by prompt id, empty if unknown."""


@get("/object_info", operation_id="getNodeInfo", tags=["node"], summary="Get all nodes")
async def get_node_info() -> None:
    """All nodes by name; not sent again to those who have it (ETag)."""


@get("/object_info/{node_class:str}", operation_id="getNodeClassInfo", tags=["node"], summary="Get one node")
async def get_node_class_info(node_class: FromPath[str]) -> None:
    """One node by its name, or an empty object."""


@post("/upload/image", operation_id="uploadImage", tags=["image"], summary="Upload an image", status_code=200)
async def upload_image() -> None:
    """Store a file; a name that is taken gives a new one."""


@post("/upload/mask", operation_id="uploadMask", tags=["image"], summary="Upload a mask", status_code=200)
async def upload_mask() -> None:
    """Put the alpha of a picture on a stored one and keep the result as a new file."""


@get("/view", operation_id="viewImage", tags=["image"], summary="View an image")
async def view_image(
    filename: FromQuery[str],
    type: FromQuery[Literal["input", "temp", "output"]] = "output",
    subfolder: FromQuery[str | None] = None,
    preview: FromQuery[str | None] = None,
    channel: FromQuery[Literal["rgb", "a", "rgba"]] = "rgba",
) -> None:
    """A file as stored, a preview of it, or one of its channels."""


@get("/ws", operation_id="webSocketConnect", tags=["workflow"], summary="Open a WebSocket", status_code=101)
async def connect_socket(clientId: FromQuery[str | None] = None) -> None:
    """Progress, results and the state of the queue, as they come."""


SERVED_PAST_ROUTER = {
    get_prompt_info: workflow.get_prompt_info,
    execute_prompt: workflow.execute_prompt,
    get_queue_info: queue.get_queue_info,
    manage_queue: queue.manage_queue,
    interrupt_execution: workflow.interrupt_execution,
    get_history: workflow.get_history,
    manage_history: workflow.manage_history,
    get_history_item: workflow.get_history_item,
    get_node_info: node.get_node_info,
    get_node_class_info: node.get_node_class_info,
    upload_image: image.upload_image,
    upload_mask: image.upload_mask,
    view_image: image.view_image,
    connect_socket: need_upgrade,
}
"""Each declaration with the handler that answers."""
