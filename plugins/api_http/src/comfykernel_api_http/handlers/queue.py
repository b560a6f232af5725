"""Queue management: /queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import Answer, done
from ..json_reading import read_object
from .workflow import read_ids

if TYPE_CHECKING:
    from ..request import Request


async def get_queue_info(request: Request) -> Answer:
    """GET /queue: prompts that run, and those that wait in the order in which they will run."""
    return Answer(await request.services.queue.of_user(request.bound_user))


async def manage_queue(request: Request) -> Answer:
    """POST /queue: take all waiting prompts out, or some.

    Clients are told the state of the queue when it was cleared although nothing waited, and twice after a deletion.
    """
    body = await read_object(request)
    kernel, hub, user = request.services.kernel, request.services.hub, request.bound_user
    if body.get("clear") and not await kernel.clear_pending(user=user):
        hub.announce_queue()
    if "delete" in body and await kernel.delete_pending(read_ids(body["delete"]), user=user):
        hub.announce_queue()
    return done()
