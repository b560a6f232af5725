"""The account of a job, made from its events: by the engine, or by others for a job whose worker could not give one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from . import events as ev
from .jobs import Outcome
from .json_types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .events import NodePlace

SHOWN: Final[dict[type[ev.JobEvent], tuple[str, ...]]] = {
    ev.ExecutionStarted: (),
    ev.ExecutionCached: ("nodes",),
    ev.ExecutionSucceeded: (),
    ev.ExecutionInterrupted: ("node_id", "node_type", "executed"),
    ev.ExecutionFailed: (
        "node_id", "node_type", "executed", "exception_message", "exception_type", "traceback", "current_inputs",
        "current_outputs",
    ),
}  # fmt: skip
"""Events among ``status.messages``, with what is told of them besides the prompt and the time."""


class Account:
    """What history will show of a job: outputs, places and status messages as far as events tell them."""

    def __init__(self, events: Iterable[ev.Event] = ()) -> None:
        self._outputs: dict[str, JsonObject] = {}
        self._meta: dict[str, JsonObject] = {}
        self._messages: list[tuple[str, JsonObject]] = []
        for event in events:
            self.note(event)

    def note(self, event: ev.Event) -> None:
        """Take in an event; those that history leaves out are let pass."""
        if isinstance(event, ev.NodeOutput) and event.output is not None:
            self.show(event.place.node_id, event.output, meta_of(event.place))
        elif (names := SHOWN.get(type(event))) is not None and getattr(event, "timed", True):
            data = {"prompt_id": event.prompt_id, **{name: getattr(event, name) for name in names}}
            self._messages.append((str(event.__struct_config__.tag), {**data, "timestamp": event.timestamp}))

    def show(self, node_id: str, ui: JsonObject, meta: JsonObject) -> None:
        """What a node shows, whether it has run or not."""
        self._outputs[node_id] = ui
        self._meta[node_id] = meta

    def outcome(self, status: Literal["done", "failed", "cancelled"], *, reason: str = "") -> Outcome:
        """The job has ended. The graph is left as it was submitted: history shows no change tokens."""
        return Outcome(status=status, outputs=self._outputs, meta=self._meta, messages=self._messages, reason=reason)


def meta_of(place: NodePlace) -> JsonObject:
    """Where a node stands, as history shows it."""
    return {
        "node_id": place.node_id, "display_node": place.display_node_id, "parent_node": place.parent_node_id,
        "real_node_id": place.real(),
    }  # fmt: skip
