"""Everything a run says: its events in the order that clients rely on, and the account that history shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk import events as ev
from comfykernel_sdk.outcomes import Account

from .plain_data import plain_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.context import Preview
    from comfykernel_sdk.events import Event, NodePlace
    from comfykernel_sdk.json_types import Json, JsonObject

    from .cache import Entry


class Report:
    """Emits events and keeps what the outcome needs. ``emit`` may be called from any thread."""

    def __init__(self, prompt_id: str, emit: Callable[[Event], None]) -> None:
        self._prompt_id = prompt_id
        self._emit = emit
        self._steps: dict[str, float] = {}
        self.account = Account()
        """What history will show of the run."""
        self.executed: list[str] = []
        """Ids of the nodes that have run to their end."""

    def started(self, attempt: int) -> None:
        """The run begins."""
        self._tell(ev.ExecutionStarted(prompt_id=self._prompt_id, attempt=attempt))

    def cached(self, ids: list[str]) -> None:
        """Which nodes will not run."""
        self._tell(ev.ExecutionCached(prompt_id=self._prompt_id, nodes=ids))

    def running(self, place: NodePlace) -> None:
        """A node begins."""
        self._emit(ev.NodeProgress(prompt_id=self._prompt_id, place=place, value=0.0, max=1.0, state="running"))
        self._emit(ev.NodeStarted(prompt_id=self._prompt_id, place=place))

    def step(self, place: NodePlace, value: float, total: float, preview: Preview | None) -> None:
        """A node reports a step."""
        self._steps[place.node_id] = total
        event = ev.NodeProgress(
            prompt_id=self._prompt_id, place=place, value=value, max=total, state="running", announce="progress",
            has_preview=preview is not None,
        )  # fmt: skip
        self._emit(event)
        if preview is not None:
            self.preview(place, preview)

    def preview(self, place: NodePlace, preview: Preview) -> None:
        """A picture of what a node is making."""
        self._emit(ev.NodePreview(prompt_id=self._prompt_id, place=place, image=preview.data, format=preview.format))

    def text(self, node_id: str, text: str, *, broadcast: bool) -> None:
        """A text at a node."""
        self._emit(ev.NodeText(prompt_id=self._prompt_id, node_id=node_id, text=text, broadcast=broadcast))

    def message(self, event: str, data: Json, client_id: str | None) -> None:
        """A message of a node pack's own; foreign numbers in it become plain ones."""
        plain = plain_data(data)
        self._emit(ev.NodeMessage(prompt_id=self._prompt_id, event=event, data=plain, client_id=client_id))

    def output(self, place: NodePlace, ui: JsonObject) -> None:
        """A node has something to show."""
        self._tell(ev.NodeOutput(prompt_id=self._prompt_id, place=place, output=ui))

    def finished(self, place: NodePlace) -> None:
        """A node has run."""
        self.executed.append(place.node_id)
        self._finish(place, self._steps.get(place.node_id, 1.0))

    def reused(self, place: NodePlace, entry: Entry) -> None:
        """An output node has not run, its output is known."""
        self._emit(ev.NodeOutput(prompt_id=self._prompt_id, place=place, output=entry.ui, cached=True))
        self._finish(place, 1.0)

    def remember(self, id: str, entry: Entry) -> None:
        """Show what a cached node showed, and the nodes of its expansion, in the history too."""
        for node_id, (ui, meta) in entry.inner.items():
            self.account.show(node_id, ui, meta)
        if entry.ui is not None:
            self.account.show(id, entry.ui, entry.meta)

    def failed(self, event: ev.ExecutionFailed) -> None:
        """A node has failed, and the prompt with it; the message of a blocker does not stand in the history."""
        self._tell(event)

    def interrupted(self, node_id: str, node_type: str) -> None:
        """The prompt was cancelled while this node ran."""
        self._tell(
            ev.ExecutionInterrupted(
                prompt_id=self._prompt_id, node_id=node_id, node_type=node_type, executed=list(self.executed)
            )
        )

    def succeeded(self) -> None:
        """All outputs are made."""
        self._tell(ev.ExecutionSucceeded(prompt_id=self._prompt_id))

    def _finish(self, place: NodePlace, value: float) -> None:
        self._emit(ev.NodeProgress(prompt_id=self._prompt_id, place=place, value=value, max=value, state="finished"))

    def _tell(self, event: Event) -> None:
        self.account.note(event)
        self._emit(event)
