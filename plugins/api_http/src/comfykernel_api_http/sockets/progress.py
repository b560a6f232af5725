"""What the hub knows of a prompt that runs: who asked for it, the running node, the state of each node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..answers import encoder
from .messages import progress_fragment

if TYPE_CHECKING:
    import asyncio

    from comfykernel_sdk.events import NodeProgress

FEW_NODES: Final = 64
"""Up to so many nodes every change is told."""
PAUSE_A_NODE_S: Final = 0.0001
"""Pause after the state of more nodes was told, for each of them: a second after ten thousand, which are 2 MB."""


class RunningPrompt:
    """State of one prompt between its start and its end.

    ``progress_state`` tells all nodes each time; each node is encoded once per change, and not at all while nobody
    listens. Of a prompt with many nodes it is told seldom, or its cost would grow with the square of their number, and
    once somebody has listened its nodes are encoded as they finish: ten thousand in one go hold the loop up for 15 ms.
    """

    __slots__ = ("_due", "_encoded", "_frame_start", "_is_told", "_states", "client_id", "late", "node", "user")

    def __init__(self, prompt_id: str, client_id: str | None, user: str) -> None:
        self.client_id = client_id
        self.user = user
        self.node: str | None = None
        self.late: asyncio.TimerHandle | None = None
        """Will tell the state that was held back."""
        self._due = 0.0
        self._is_told = False
        self._states: dict[str, NodeProgress] = {}
        self._encoded: dict[str, str] = {}
        prompt = encoder.encode(prompt_id).decode()
        self._frame_start = f'{{"type":"progress_state","data":{{"prompt_id":{prompt},"nodes":{{'

    def update(self, event: NodeProgress) -> None:
        """Take in the new state of a node."""
        id = event.place.node_id
        if event.state == "pending":
            self._states.pop(id, None)
        else:
            self._states[id] = event
        self._encoded.pop(id, None)
        if self._is_told and event.state == "finished" and len(self._states) > FEW_NODES:
            self._encoded[id] = progress_fragment(event)

    def wait_s(self, now: float) -> float:
        """Seconds until clients are to be told the next state; 0 at once."""
        count = len(self._states)
        if count <= FEW_NODES or now >= self._due:
            self._due = now + count * PAUSE_A_NODE_S
            return 0.0
        return self._due - now

    def progress_state(self) -> str:
        """The text frame that tells the state of all nodes."""
        self._is_told = True
        encoded = self._encoded
        for id, event in self._states.items():
            if id not in encoded:
                encoded[id] = progress_fragment(event)
        return f"{self._frame_start}{','.join([encoded[id] for id in self._states])}}}}}}}"
