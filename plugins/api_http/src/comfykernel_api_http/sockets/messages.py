"""Messages of the WebSocket, byte by byte.

Text frames are JSON ``{"type", "data"}``. Binary frames begin with a big-endian u32 event number:

====== ==========================================================================================
event  layout after the number
====== ==========================================================================================
1      preview: u32 image format (1 JPEG, 2 PNG), encoded image
3      text: [u32 length of the prompt id, prompt id,] u32 length of the node id, node id, text
4      preview with metadata: u32 length of a JSON object, that object, encoded image
====== ==========================================================================================
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from ..answers import encoder

if TYPE_CHECKING:
    from comfykernel_sdk import events as ev

PREVIEW: Final = 1
TEXT: Final = 3
PREVIEW_WITH_METADATA: Final = 4

_FORMATS: Final = {"JPEG": 1, "PNG": 2}
_ONE: Final = struct.Struct(">I")
_TWO: Final = struct.Struct(">II")


def text(type: str, data: object) -> str:
    """A text frame."""
    return encoder.encode({"type": type, "data": data}).decode()


def status(remaining: int, sid: str | None = None) -> str:
    """How many prompts wait or run; with ``sid`` the greeting of a connection."""
    data: dict[str, object] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    if sid is not None:
        data["sid"] = sid
    return text("status", data)


def executing(event: ev.NodeStarted) -> str:
    """A node begins."""
    place = event.place
    data = {"node": place.node_id, "display_node": place.display_node_id, "prompt_id": event.prompt_id}
    return text("executing", data)


def executed(event: ev.NodeOutput) -> str:
    """A node has something to show."""
    place = event.place
    return text(
        "executed",
        {
            "node": place.node_id,
            "display_node": place.display_node_id,
            "output": event.output,
            "prompt_id": event.prompt_id,
        },
    )


def progress(event: ev.NodeProgress) -> str:
    """A step that a node reported."""
    return text(
        "progress",
        {
            "value": plain(event.value),
            "max": plain(event.max),
            "prompt_id": event.prompt_id,
            "node": event.place.node_id,
        },
    )


def progress_fragment(event: ev.NodeProgress) -> str:
    """State of one node as a member of ``progress_state``: ``"id":{...}``."""
    place = event.place
    state = {
        "value": plain(event.value),
        "max": plain(event.max),
        "state": event.state,
        "node_id": place.node_id,
        "prompt_id": event.prompt_id,
        "display_node_id": place.display_node_id,
        "parent_node_id": place.parent_node_id,
        "real_node_id": place.real(),
    }
    return (encoder.encode(place.node_id) + b":" + encoder.encode(state)).decode()


def execution_failed(event: ev.ExecutionFailed) -> str:
    """A node failed."""
    data: dict[str, object] = {
        "prompt_id": event.prompt_id,
        "node_id": event.node_id,
        "node_type": event.node_type,
        "executed": event.executed,
        "exception_message": event.exception_message,
        "exception_type": event.exception_type,
        "traceback": event.traceback,
        "current_inputs": event.current_inputs,
        "current_outputs": event.current_outputs,
    }
    if event.timed:
        data["timestamp"] = event.timestamp
    return text("execution_error", data)


def execution_interrupted(event: ev.ExecutionInterrupted) -> str:
    """The prompt was cancelled while it ran."""
    return text(
        "execution_interrupted",
        {
            "prompt_id": event.prompt_id,
            "node_id": event.node_id,
            "node_type": event.node_type,
            "executed": event.executed,
            "timestamp": event.timestamp,
        },
    )


def preview(event: ev.NodePreview) -> bytes:
    """A preview for clients that know no metadata."""
    return _TWO.pack(PREVIEW, _FORMATS[event.format]) + event.image


def preview_with_metadata(event: ev.NodePreview) -> bytes:
    """A preview that tells its node and prompt."""
    place = event.place
    metadata = encoder.encode(
        {
            "node_id": place.node_id,
            "prompt_id": event.prompt_id,
            "display_node_id": place.display_node_id,
            "parent_node_id": place.parent_node_id,
            "real_node_id": place.real(),
            "image_type": f"image/{event.format.lower()}",
        }
    )
    return _TWO.pack(PREVIEW_WITH_METADATA, len(metadata)) + metadata + event.image


def node_text(event: ev.NodeText, *, with_prompt: bool = False) -> bytes:
    """A text to be shown at a node; ``with_prompt`` for clients that announced that they know of it."""
    ids = [event.prompt_id, event.node_id] if with_prompt else [event.node_id]
    parts = [_ONE.pack(len(id)) + id for id in (each.encode() for each in ids)]
    return b"".join([_ONE.pack(TEXT), *parts, event.text.encode()])


def plain(value: float) -> int | float:
    """A number without a fraction where it has none: clients with strict types read steps as integers."""
    return int(value) if float(value).is_integer() else value
