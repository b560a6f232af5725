"""What a running node may ask for: progress, previews, cancellation, storage, device."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from .graph import Graph
    from .json_types import Json, JsonObject
    from .settings import Settings
    from .storage import FileStore, ModelStore


class NodeContext(Protocol):
    """The face of a run that a node sees. Get it as a parameter of this type or by :func:`current_context`.

    Attributes:
        prompt_id: the job that runs.
        node_id: the node that runs (its own id, also inside an expansion).
        client_id: the client that asked for the job, when it said so.
        files: input, output and temporary files.
        models: model files by folder and name.
        settings: the effective settings of this process.
        extra_data: what the client sent along with the prompt.
    """

    prompt_id: str
    node_id: str
    client_id: str | None
    files: FileStore
    models: ModelStore
    settings: Settings
    extra_data: JsonObject

    def progress(self, value: float, total: float, *, preview: Preview | None = None) -> None:
        """Report a step; also the place where a cancelled prompt stops.

        Raises:
            Interrupted: the prompt was cancelled.
        """

    def preview(self, preview: Preview) -> None:
        """Show an encoded picture of what is being made, without a step."""

    def text(self, text: str, *, broadcast: bool = False) -> None:
        """Show a text at this node."""

    def send(self, event: str, data: Json, *, client_id: str | None = None) -> None:
        """Send a message of the pack's own to a client (``None``: to everybody)."""

    def check_cancelled(self) -> None:
        """Stop here when the prompt was cancelled. Long-running nodes call it often.

        Raises:
            Interrupted: the prompt was cancelled.
        """

    @property
    def cancelled(self) -> bool:
        """Whether the prompt was cancelled."""

    def graph(self) -> Graph:
        """The graph as it runs, with nodes of expansions."""


class Preview:
    """An encoded picture for clients: JPEG or PNG bytes."""

    __slots__ = ("data", "format")

    def __init__(self, data: bytes, format: Literal["JPEG", "PNG"] = "JPEG") -> None:
        self.data = data
        self.format: Literal["JPEG", "PNG"] = format


current: ContextVar[NodeContext | None] = ContextVar("comfykernel_context", default=None)
"""The context of the node that runs in this thread or task; set by the engine."""


def current_context() -> NodeContext:
    """The context of the node that runs here, also in its validator, fingerprint and lazy check.

    Raises:
        LookupError: no node runs in this thread or task.
    """
    context = current.get()
    if context is None:
        raise LookupError("No node runs here: current_context() works only while the engine calls a node.")
    return context
