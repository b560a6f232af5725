"""Nodes that report progress and send pictures and texts."""

from __future__ import annotations

import io
from typing import Annotated, Literal

from PIL import Image

from comfykernel_sdk.context import NodeContext, Preview
from comfykernel_sdk.nodes import node
from comfykernel_sdk.sockets import Choice, Int, Toggle, UniqueId

from .texts import CATEGORY, String, Value

PREVIEW_SIZE = (64, 32)
PREVIEW_COLOR = (200, 40, 80)


@node("ContractProgress", category=CATEGORY, display_name="ContractProgress", description="")
def progress(value: Value, steps: Annotated[int, Int(default=3, min=1, max=100)], context: NodeContext) -> String:
    """Report so many steps."""
    for step in range(steps):
        context.progress(step + 1, steps)
    return value


@node("ContractPreview", category=CATEGORY, display_name="ContractPreview", description="")
def preview(
    value: Value,
    steps: Annotated[int, Int(default=1, min=1, max=100)],
    format: Annotated[Literal["JPEG", "PNG"], Choice("JPEG", "PNG", bare=True)],
    max_size: Annotated[int, Int(default=0, min=0, max=4096)],
    context: NodeContext,
) -> String:
    """Send the same picture at each step."""
    for step in range(steps):
        context.progress(step + 1, steps, preview=Preview(_picture(format, max_size), format))
    return value


@node("ContractText", category=CATEGORY, display_name="ContractText", description="")
def text(
    value: Value, broadcast: Annotated[bool, Toggle(default=False)], node_id: UniqueId, context: NodeContext
) -> String:
    """Show the value as text at this node."""
    context.text(value, broadcast=broadcast)
    return value


def _picture(format: Literal["JPEG", "PNG"], max_size: int) -> bytes:
    """One colour, encoded, fitted into a square of ``max_size`` unless that is 0."""
    image = Image.new("RGB", PREVIEW_SIZE, PREVIEW_COLOR)
    if max_size:
        image.thumbnail((max_size, max_size))
    data = io.BytesIO()
    image.save(data, format)
    return data.getvalue()
