"""The face of a run that a node sees: implements the sdk's NodeContext."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from comfykernel_sdk.context import current
from comfykernel_sdk.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from comfykernel_sdk.context import NodeContext, Preview
    from comfykernel_sdk.events import NodePlace
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.scheduler import Assignment
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage

    from .coroutines import Cancellation
    from .report import Report
    from .run_graph import RunGraph


@contextmanager
def current_node(context: NodeContext) -> Iterator[None]:
    """Make ``current_context()`` give this context."""
    token = current.set(context)
    try:
        yield
    finally:
        current.reset(token)


@dataclass(frozen=True, slots=True, eq=False)
class RunServices:
    """What all nodes of one run share."""

    assignment: Assignment
    settings: Settings
    storage: Storage
    cancellation: Cancellation
    report: Report
    graph: RunGraph


@final
class RunContext:
    """Context of one node; its methods may be called from any thread."""

    __slots__ = ("_place", "_run", "client_id", "extra_data", "files", "models", "node_id", "prompt_id", "settings")

    def __init__(self, run: RunServices, place: NodePlace) -> None:
        self._run = run
        self._place = place
        self.node_id = place.node_id
        self.prompt_id = run.assignment.prompt_id
        self.client_id = run.assignment.client_id
        self.extra_data = run.assignment.extra_data
        self.settings = run.settings
        self.files = run.storage.files
        self.models = run.storage.models

    def progress(self, value: float, total: float, *, preview: Preview | None = None) -> None:
        """Report a step.

        Raises:
            Interrupted: the prompt was cancelled.
        """
        self.check_cancelled()
        self._run.report.step(self._place, value, total, preview)

    def preview(self, preview: Preview) -> None:
        """Show an encoded picture without a step."""
        self._run.report.preview(self._place, preview)

    def text(self, text: str, *, broadcast: bool = False) -> None:
        """Show a text at this node."""
        self._run.report.text(self.node_id, text, broadcast=broadcast)

    def send(self, event: str, data: Json, *, client_id: str | None = None) -> None:
        """Send a message of the pack's own."""
        self._run.report.message(event, data, client_id)

    def check_cancelled(self) -> None:
        """Stop here when the prompt was cancelled.

        Raises:
            Interrupted: it was.
        """
        if self._run.cancellation.requested:
            raise Interrupted

    @property
    def cancelled(self) -> bool:
        """Whether the prompt was cancelled."""
        return self._run.cancellation.requested

    def graph(self) -> Graph:
        """The graph as it runs, with nodes of expansions."""
        return dict(self._run.graph.nodes)
