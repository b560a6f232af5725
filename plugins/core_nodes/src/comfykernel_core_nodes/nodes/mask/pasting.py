"""Nodes that paste one picture or latent onto another under a mask."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled, opaque
from comfykernel_core_nodes.nodes.image.resampling import resize
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Offset
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Image, Int, Latent, Mask, Toggle

mask_node = extra_node("nodes_mask")

LatentOffset = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=8)]

PIXELS_PER_LATENT = 8
"""Side of the square of pixels that one latent position stands for."""


@mask_node("LatentCompositeMasked", category="latent")
def latent_composite_masked(
    destination: Latent,
    source: Latent,
    x: LatentOffset,
    y: LatentOffset,
    resize_source: Annotated[bool, Toggle(default=False)],
    mask: Mask | None = None,
) -> Latent:
    """Paste a latent onto another at a place in pixels, where the mask is 1."""
    base, above = destination["samples"], source["samples"]
    if base.shape[1:-2] != above.shape[1:-2]:
        raise BadInput(
            f"The latents have the shapes {list(base.shape)} and {list(above.shape)}.", type="latent_channels",
            hint="Both must have the same channels: encode them with one autoencoder.",
        )  # fmt: skip
    place = (x // PIXELS_PER_LATENT, y // PIXELS_PER_LATENT)
    return {**destination, "samples": pasted(base, above, place, mask, resize_source=resize_source)}


@mask_node("ImageCompositeMasked", category="image")
def image_composite_masked(
    destination: Image,
    source: Image,
    x: Offset,
    y: Offset,
    resize_source: Annotated[bool, Toggle(default=False)],
    mask: Mask | None = None,
) -> Image:
    """Paste an image onto another at a place, where the mask is 1. The result has the channels of the first."""
    above = opaque(source, destination.shape[-1]).movedim(-1, 1)
    return pasted(destination.movedim(-1, 1), above, (x, y), mask, resize_source=resize_source).movedim(1, -1)


def pasted(base: Tensor, above: Tensor, place: tuple[int, int], mask: Tensor | None, *, resize_source: bool) -> Tensor:
    """``above`` on ``base``, both [batch, channel, (frame,) height, width], its upper left corner at ``place`` (x, y).

    The mask [batch, height, width] is resized to ``above``; batches are repeated or cut to that of ``base``. What
    lies outside of ``base`` is left away.
    """
    (x, y), (height, width) = place, base.shape[-2:]
    if resize_source:
        above = resize(above, width, height, "bilinear")
    above = cycled(above, len(base)).to(base)
    opacity = torch.ones_like(above[:, :1])
    if mask is not None:
        opacity = functional.interpolate(mask.reshape(-1, 1, *mask.shape[-2:]), size=above.shape[-2:], mode="bilinear")
        opacity = cycled(opacity, len(base)).to(base).unflatten(1, [1] * (base.ndim - 3))
    seen = (..., slice(0, max(0, height - y)), slice(0, max(0, width - x)))
    above, opacity = above[seen], opacity[seen]
    result = base.clone()
    covered = (..., slice(y, y + above.shape[-2]), slice(x, x + above.shape[-1]))
    result[covered] = opacity * above + (1.0 - opacity) * base[covered]
    return result
