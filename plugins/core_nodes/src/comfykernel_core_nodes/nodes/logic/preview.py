"""The node that shows any value as text."""

from __future__ import annotations

import json
from typing import Annotated

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.nodes import Result
from comfykernel_sdk.sockets import Socket

preview_node = extra_node("nodes_preview_any")


@preview_node("PreviewAny", category="utils", display_name="Preview Any", output_node=True)
def preview_any(source: Annotated[object, Socket("*", wildcard=True, bare=False)]) -> Result[None]:
    """Show a value as text: texts as they are, numbers and lists as JSON, other objects by their description."""
    return Result(ui={"text": [described(source)]})


def described(value: object) -> str:
    """A text for any value."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return str(value)
