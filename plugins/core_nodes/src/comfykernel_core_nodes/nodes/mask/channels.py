"""Nodes for masks."""

from __future__ import annotations

from typing import Annotated, Final

import torch

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.saved_files import PREVIEW_COMPRESSION, save_png, temporary_prefix, texts_of
from comfykernel_core_nodes.nodes.sockets import Side
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.nodes import Result
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Float, Image, Mask, PromptGraph

mask_node = extra_node("nodes_mask")

CHANNELS: Final = ("red", "green", "blue", "alpha")


@mask_node("SolidMask", category="mask")
def solid_mask(
    value: Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.01)], width: Side, height: Side
) -> Mask:
    """Make a mask of one value."""
    return torch.full((1, height, width), value)


@mask_node("MaskToImage", category="mask", display_name="Convert Mask to Image")
def mask_to_image(mask: Mask) -> Image:
    """Show a mask as a grey image."""
    return mask.reshape(-1, *mask.shape[-2:], 1).expand(-1, -1, -1, 3)


@mask_node("ImageToMask", category="mask", display_name="Convert Image to Mask")
def image_to_mask(image: Image, channel: Annotated[str, Choice(*CHANNELS, bare=True)]) -> Mask:
    """Take one channel of images as masks.

    Raises:
        BadInput: the images have no such channel.
    """
    index = CHANNELS.index(channel)
    if index >= image.shape[-1]:
        raise BadInput(
            f"The image has no {channel} channel, only {image.shape[-1]} channels.",
            type="missing_channel", hint="Take red, green or blue, or load the mask with LoadImageMask.",
        )  # fmt: skip
    return image[..., index]


@mask_node("MaskPreview", category="mask", output_node=True)
def mask_preview(
    context: NodeContext, mask: Mask, prompt: PromptGraph = None, extra_pnginfo: ExtraPngInfo = None
) -> Result[None]:
    """Show masks as grey images without keeping them: they are written to the temporary folder."""
    texts = texts_of(context, prompt, extra_pnginfo)
    saved = save_png(context, mask_to_image(mask), temporary_prefix(), "temp", texts, PREVIEW_COMPRESSION)
    return Result(ui={"images": saved})
