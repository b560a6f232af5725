"""The node on which people paint."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import opaque
from comfykernel_core_nodes.nodes.image.decoding import decode_layer
from comfykernel_core_nodes.nodes.image.load import content_hash
from comfykernel_core_nodes.nodes.logic.choices import parsed_colour
from comfykernel_sdk.context import NodeContext, current_context
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Image, Int, Mask, Socket, Text

painter_node = extra_node("nodes_painter")

CanvasSide = Annotated[int, Int(default=512, min=64, max=4096, step=64)]


def painted_hash(mask: str) -> str:
    """The content of the painting, or nothing where nobody has painted."""
    return content_hash(mask) if mask else ""


def check_painting(mask: str) -> bool | str:
    """``True``, or a text that says that there is no such painting."""
    if not mask:
        return True
    files = current_context().files
    try:
        files.info(files.parse(mask))
    except BadInput:
        return f"Invalid painting: {mask}"
    return True


@painter_node("Painter", category="image", fingerprint=painted_hash, validate=check_painting)
def painter(
    context: NodeContext,
    mask: Annotated[str, Text(default="", options={"widgetType": "PAINTER", "image_upload": True, "socketless": True})],
    width: CanvasSide,
    height: CanvasSide,
    bg_color: Annotated[str, Socket("COLOR", options={"default": "#000000"})],
    image: Image | None = None,
) -> tuple[Image, Mask]:
    """Paint in the page over an image or a plain colour; gives the picture, and where it was painted as mask.

    Args:
        mask: the painting, which the page uploads.

    Raises:
        BadInput: the painting is no image.
        TooLarge: it has more pixels than the settings allow.
    """
    base = opaque(image, 3) if image is not None else _plain(bg_color, width, height)
    if not mask:
        return base, torch.zeros(base.shape[:3])
    with context.files.open(context.files.parse(mask)) as file:
        layer = decode_layer(file, mask, max_pixels=context.settings.execution.max_image_pixels)
    painted = _fitted(layer, base.shape[2], base.shape[1])
    opacity = painted[..., 3]
    result = base * (1.0 - painted[..., 3:]) + painted[..., :3] * painted[..., 3:]
    return result, opacity.expand(base.shape[:3]).contiguous()


def _plain(colour: str, width: int, height: int) -> Tensor:
    return (torch.tensor(parsed_colour(colour)[:3]) / 255.0).expand(1, height, width, 3).contiguous()


def _fitted(layer: PillowImage.Image, width: int, height: int) -> Tensor:
    """A picture with transparency as [1, height, width, 4]."""
    if layer.size != (width, height):
        layer = layer.resize((width, height), PillowImage.Resampling.LANCZOS)
    return torch.from_numpy(np.array(layer).astype(np.float32) / 255.0).unsqueeze(0)
