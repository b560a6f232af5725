"""Queue management: /queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import Answer, done, json_answer
from ..history_items import queue_item
from ..json_reading import read_object
from .workflow import read_ids

if TYPE_CHECKING:
    from ..request import Request


async def get_queue_info(request: Request) -> Answer:
    """GET /queue: prompts that run, and those that wait in the order in which they will run."""
    kernel = request.services.kernel
    return json_answer(
        {
            "queue_running": [queue_item(job) for job in kernel.running()],
            "queue_pending": [queue_item(job) for job in kernel.pending()],
        }
    )


async def manage_queue(request: Request) -> Answer:
    """POST /queue: take all waiting prompts out, or some."""
    body = read_object(await request.body())
    kernel = request.services.kernel
    if body.get("clear"):
        await kernel.clear_pending()
    if "delete" in body:
        await kernel.delete_pending(read_ids(body["delete"]))
    return done()
