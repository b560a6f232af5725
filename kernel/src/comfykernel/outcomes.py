"""The account of a job made from its events, for jobs whose worker could not give one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from comfykernel_sdk import events as ev
from comfykernel_sdk.jobs import Outcome
from comfykernel_sdk.json_types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykernel_sdk.events import NodePlace

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


def outcome_from_events(
    events: Iterable[ev.Event], status: Literal["done", "failed", "cancelled"], *, reason: str = ""
) -> Outcome:
    """Outputs, places and status messages as far as the events tell them."""
    outputs: dict[str, JsonObject] = {}
    meta: dict[str, JsonObject] = {}
    messages: list[tuple[str, JsonObject]] = []
    for event in events:
        if isinstance(event, ev.NodeOutput) and event.output is not None:
            outputs[event.place.node_id] = event.output
            meta[event.place.node_id] = meta_of(event.place)
        elif (message := status_message(event)) is not None:
            messages.append(message)
    return Outcome(status=status, outputs=outputs, meta=meta, messages=messages, reason=reason)


def meta_of(place: NodePlace) -> JsonObject:
    """Where a node stands, as history shows it."""
    return {
        "node_id": place.node_id, "display_node": place.display_node_id, "parent_node": place.parent_node_id,
        "real_node_id": place.real(),
    }  # fmt: skip


def status_message(event: ev.Event) -> tuple[str, JsonObject] | None:
    """An event as history shows it among ``status.messages``; ``None`` for those that it leaves out."""
    shown = SHOWN.get(type(event))
    if shown is None or (isinstance(event, ev.ExecutionFailed) and not event.timed):
        return None
    data = {"prompt_id": event.prompt_id, **{name: getattr(event, name) for name in shown}}
    return str(event.__struct_config__.tag), {**data, "timestamp": event.timestamp}
