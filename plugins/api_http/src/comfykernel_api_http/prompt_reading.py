"""Turns the body of POST /prompt into the kernel's request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.jobs import PromptRequest

if TYPE_CHECKING:
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import Json, JsonObject

MAX_ID_LENGTH: Final = 1_000
"""Characters of a prompt id that a client makes up."""


def read_prompt(body: Json, *, user: str, idempotency_key: str | None) -> PromptRequest:
    """The request that a body makes; members that are null count as absent, unknown ones are ignored.

    In place of a prompt there may be an editor's document, which a filter of the kernel turns into one.

    Raises:
        InvalidPrompt: it has no prompt, or a member of a wrong type.
    """
    prompt = _prompt_of(body)
    if not isinstance(body, dict) or prompt is None:
        raise InvalidPrompt("No prompt provided", details="No prompt provided", type="no_prompt")
    graph = _graph(prompt)
    extra_data = _extra_data(body.get("extra_data"))
    if body.get("client_id") is not None:
        extra_data["client_id"] = body["client_id"]
    client_id = extra_data.get("client_id")
    return PromptRequest(
        graph=graph,
        prompt_id=_prompt_id(body.get("prompt_id")),
        number=_number(body.get("number")),
        front=bool(body.get("front")),
        extra_data=extra_data,
        client_id=None if client_id is None else str(client_id),
        partial_execution_targets=_targets(body.get("partial_execution_targets"), graph),
        idempotency_key=idempotency_key or None,
        user=user,
    )


def _prompt_of(body: Json) -> Json:
    """The prompt; where there is none, the document in ``workflow``, in the metadata for files, or that is the body."""
    if not isinstance(body, dict) or body.get("prompt") is not None:
        return body["prompt"] if isinstance(body, dict) else None
    extra = body.get("extra_data")
    info = extra.get("extra_pnginfo") if isinstance(extra, dict) else None
    places = (body.get("workflow"), info.get("workflow") if isinstance(info, dict) else None, body)
    return next((each for each in places if _is_document(each)), None)


def _is_document(value: Json) -> bool:
    """Whether it is what an editor saves: its nodes are in a list, where each member of a prompt is an object."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def _graph(value: Json) -> Graph:
    if not isinstance(value, dict):
        raise _wrong("prompt", "an object of nodes")
    if _is_document(value):
        return value  # type: ignore[return-value]
    for id, node in value.items():
        if not isinstance(node, dict):
            raise InvalidPrompt(
                "A node of the prompt is not an object.",
                details=f"Node ID '#{id}'",
                type="invalid_prompt",
                extra_info={"node_id": id},
            )
    return value  # type: ignore[return-value]


def _extra_data(value: Json) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong("extra_data", "an object")
    return dict(value)


def _prompt_id(value: Json) -> str | None:
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        raise _wrong("prompt_id", "a text or a number")
    text = str(value)
    if len(text) > MAX_ID_LENGTH:
        raise _wrong("prompt_id", f"at most {MAX_ID_LENGTH} characters long")
    return text or None


def _number(value: Json) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise _wrong("number", "a number") from None
    if not math.isfinite(number):
        raise _wrong("number", "a finite number")
    return number


def _targets(value: Json, graph: Graph) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, str) and not _is_document(graph):  # type: ignore[arg-type]
        # Clients of old send a text that holds the ids of the wanted nodes.
        return [id for id in graph if id in value]
    if isinstance(value, (list, dict)):
        return [id for id in value if isinstance(id, str)]
    raise _wrong("partial_execution_targets", "a list of node ids")


def _wrong(member: str, wanted: str) -> InvalidPrompt:
    return InvalidPrompt(
        f"The member {member} must be {wanted}.", type="invalid_request", extra_info={"member": member}
    )
