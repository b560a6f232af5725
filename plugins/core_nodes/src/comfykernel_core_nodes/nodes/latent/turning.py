"""Nodes that turn, mirror and cut latents."""

from __future__ import annotations

from typing import Annotated, Final

import torch

from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.latent.shapes import PIXELS_PER_LATENT, LatentOffset
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE
from comfykernel_sdk.sockets import Choice, Int, Latent

QUARTER_TURNS: Final = {"none": 0, "90 degrees": 1, "180 degrees": 2, "270 degrees": 3}

SMALLEST_SIDE: Final = 8
"""Positions that are left of a latent where it is cut near its end."""

CutSide = Annotated[int, Int(default=512, min=64, max=MAX_SIDE, step=8)]


@core_node("LatentRotate", category="latent/transform", display_name="Rotate Latent")
def latent_rotate(samples: Latent, rotation: Annotated[str, Choice(*QUARTER_TURNS, bare=True)]) -> Latent:
    """Turn latents clockwise."""
    return {**samples, "samples": torch.rot90(samples["samples"], k=QUARTER_TURNS[rotation], dims=(-1, -2))}


@core_node("LatentFlip", category="latent/transform", display_name="Flip Latent")
def latent_flip(
    samples: Latent, flip_method: Annotated[str, Choice("x-axis: vertically", "y-axis: horizontally", bare=True)]
) -> Latent:
    """Mirror latents."""
    return {**samples, "samples": samples["samples"].flip(-2 if flip_method.startswith("x") else -1)}


@core_node("LatentCrop", category="latent/transform", display_name="Crop Latent")
def latent_crop(samples: Latent, width: CutSide, height: CutSide, x: LatentOffset, y: LatentOffset) -> Latent:
    """Cut a rectangle out, in pixels; near the end it is moved so that 64 pixels stay, where there are as many."""
    tensor = samples["samples"]
    left = max(0, min(x // PIXELS_PER_LATENT, tensor.shape[-1] - SMALLEST_SIDE))
    top = max(0, min(y // PIXELS_PER_LATENT, tensor.shape[-2] - SMALLEST_SIDE))
    right, bottom = left + width // PIXELS_PER_LATENT, top + height // PIXELS_PER_LATENT
    return {**samples, "samples": tensor[..., top:bottom, left:right]}
