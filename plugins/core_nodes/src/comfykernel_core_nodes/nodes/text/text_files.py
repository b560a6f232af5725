"""The node that saves texts."""

from __future__ import annotations

import json
from typing import Annotated

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.nodes import Result
from comfykernel_sdk.sockets import Choice, Out, Text
from comfykernel_sdk.storage import FileRef

text_node = extra_node("nodes_text")


@text_node("SaveText", category="text", display_name="Save Text", output_node=True)
def save_text(
    context: NodeContext,
    text: Annotated[str, Text(force_input=True)],
    filename_prefix: Annotated[str, Text(default="ComfyUI")] = "ComfyUI",
    format: Annotated[str, Choice("txt", "csv", "md", "json", default="txt")] = "txt",
) -> Result[Annotated[str, Out("text")]]:
    """Save a text to the output folder, in UTF-8; what is valid JSON is indented where JSON is asked for."""
    place = context.files.numbered(filename_prefix, "output")
    content = indented(text) if format == "json" else text
    ref = context.files.write_numbered(place, f".{format}", content.encode("utf-8", "surrogatepass"))
    return Result(text, ui={"text": [text], "files": [_shown(ref)]})


def _shown(ref: FileRef) -> dict[str, str]:
    return {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}


def indented(text: str) -> str:
    """JSON with two spaces a level; another text as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
