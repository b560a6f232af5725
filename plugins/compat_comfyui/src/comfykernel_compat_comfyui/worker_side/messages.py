"""Messages of packs to clients that belong to no run: kept until the server fetches them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from ..class_nodes.shown_values import shown

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import JsonObject

MOST_WAITING: Final = 1_000
"""Messages that wait; when the server does not fetch them the oldest go."""


class Outbox:
    """A queue that any thread fills and one reader empties."""

    def __init__(self) -> None:
        self._waiting: deque[JsonObject] = deque(maxlen=MOST_WAITING)
        self._ready = threading.Event()

    def put(self, event: str, data: object, client_id: str | None) -> None:
        """Send a message to a client, or to all."""
        self._waiting.append({"event": event, "data": shown(data), "client_id": client_id})
        self._ready.set()

    def take(self, timeout_s: float) -> list[JsonObject]:
        """All that waits; waits for the first one so long."""
        self._ready.wait(timeout_s)
        self._ready.clear()
        taken: list[JsonObject] = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken
