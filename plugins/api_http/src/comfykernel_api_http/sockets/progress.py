"""What the hub knows of a prompt that runs: who asked for it, the running node, the state of each node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import encoder
from .messages import progress_fragment

if TYPE_CHECKING:
    from comfykernel_sdk.events import NodeProgress


class RunningPrompt:
    """State of one prompt between its start and its end.

    ``progress_state`` tells all nodes each time; each node is encoded once per change, and not at all while nobody
    listens.
    """

    __slots__ = ("_encoded", "_frame_start", "_states", "client_id", "node", "user")

    def __init__(self, prompt_id: str, client_id: str | None, user: str) -> None:
        self.client_id = client_id
        self.user = user
        self.node: str | None = None
        self._states: dict[str, NodeProgress] = {}
        self._encoded: dict[str, bytes] = {}
        self._frame_start = b'{"type":"progress_state","data":{"prompt_id":' + encoder.encode(prompt_id) + b',"nodes":{'

    def update(self, event: NodeProgress) -> None:
        """Take in the new state of a node."""
        id = event.place.node_id
        if event.state == "pending":
            self._states.pop(id, None)
        else:
            self._states[id] = event
        self._encoded.pop(id, None)

    def progress_state(self) -> str:
        """The text frame that tells the state of all nodes."""
        encoded = self._encoded
        for id, event in self._states.items():
            if id not in encoded:
                encoded[id] = progress_fragment(event)
        return (self._frame_start + b",".join([encoded[id] for id in self._states]) + b"}}}").decode()
