"""The account of a job made from its events, for jobs whose worker could not give one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from comfykernel_sdk import events as ev
from comfykernel_sdk.jobs import Outcome
from comfykernel_sdk.json_types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterable


def outcome_from_events(
    events: Iterable[ev.Event], status: Literal["done", "failed", "cancelled"], *, reason: str = ""
) -> Outcome:
    """Outputs, places and status messages as far as the events tell them."""
    outputs: dict[str, JsonObject] = {}
    meta: dict[str, JsonObject] = {}
    messages: list[tuple[str, JsonObject]] = []
    for event in events:
        if isinstance(event, ev.NodeOutput) and event.output is not None:
            place = event.place
            outputs[place.node_id] = event.output
            meta[place.node_id] = {
                "node_id": place.node_id,
                "display_node": place.display_node_id,
                "parent_node": place.parent_node_id,
                "real_node_id": place.real(),
            }
        elif (message := status_message(event)) is not None:
            messages.append(message)
    return Outcome(status=status, outputs=outputs, meta=meta, messages=messages, reason=reason)


def status_message(event: ev.Event) -> tuple[str, JsonObject] | None:
    """An event as history shows it among ``status.messages``; ``None`` for those that it leaves out."""
    data: JsonObject
    match event:
        case ev.ExecutionStarted():
            return "execution_start", {"prompt_id": event.prompt_id, "timestamp": event.timestamp}
        case ev.ExecutionCached():
            return "execution_cached", {
                "nodes": list(event.nodes), "prompt_id": event.prompt_id, "timestamp": event.timestamp,
            }  # fmt: skip
        case ev.ExecutionSucceeded():
            return "execution_success", {"prompt_id": event.prompt_id, "timestamp": event.timestamp}
        case ev.ExecutionInterrupted():
            data = {"node_id": event.node_id, "node_type": event.node_type, "executed": list(event.executed)}
            return "execution_interrupted", {"prompt_id": event.prompt_id, **data, "timestamp": event.timestamp}
        case ev.ExecutionFailed(timed=True):
            data = {
                "node_id": event.node_id, "node_type": event.node_type, "executed": list(event.executed),
                "exception_message": event.exception_message, "exception_type": event.exception_type,
                "traceback": list(event.traceback), "current_inputs": event.current_inputs,
                "current_outputs": list(event.current_outputs),
            }  # fmt: skip
            return "execution_error", {"prompt_id": event.prompt_id, **data, "timestamp": event.timestamp}
    return None
