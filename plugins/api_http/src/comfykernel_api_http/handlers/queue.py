"""Queue management: /queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import Answer, done, encoder
from ..history_items import queue_item
from ..json_reading import read_object
from .workflow import read_ids

if TYPE_CHECKING:
    from comfykernel_sdk.transport import Kernel

    from ..request import Request


async def get_queue_info(request: Request) -> Answer:
    """GET /queue: prompts that run, and those that wait in the order in which they will run."""
    return Answer(queue_info(request.services.kernel))


def queue_info(kernel: Kernel) -> bytes:
    """The queue as JSON."""
    return encoder.encode(
        {
            "queue_running": [queue_item(job) for job in kernel.running()],
            "queue_pending": [queue_item(job) for job in kernel.pending()],
        }
    )


async def manage_queue(request: Request) -> Answer:
    """POST /queue: take all waiting prompts out, or some.

    Clients are told the state of the queue when it was cleared although nothing waited, and twice after a deletion.
    """
    body = read_object(await request.body())
    kernel, hub = request.services.kernel, request.services.hub
    if body.get("clear") and not await kernel.clear_pending():
        hub.announce_queue()
    if "delete" in body and await kernel.delete_pending(read_ids(body["delete"])):
        hub.announce_queue()
    return done()
