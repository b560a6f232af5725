"""Nodes for Stable Cascade, which samples in two stages (Pernias et al. 2023, arXiv:2306.00637)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import torch

from comfykernel_core_nodes.nodes.condition_values import with_values
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.latent.pixels import present_codec
from comfykernel_core_nodes.nodes.open_sockets import OpenConditions, OpenImage, OpenLatent, OpenVae
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Conditions
from comfykernel_sdk.sockets import Image, Int, Latent, LatentDict, Out

cascade_node = extra_node("nodes_stable_cascade")

# Channels of the two stages, and pixels that a unit of stage B is wide.
STAGE_C_CHANNELS, STAGE_B_CHANNELS = 16, 4
STAGE_B_PIXELS = 4

StageC: TypeAlias = Annotated[Latent, Out("stage_c")]
StageB: TypeAlias = Annotated[Latent, Out("stage_b")]
CascadeSide: TypeAlias = Annotated[int, Int(default=1024, min=256, max=MAX_SIDE, step=8)]
Compression: TypeAlias = Annotated[int, Int(default=42, min=4, max=128, step=1)]


@cascade_node("StableCascade_EmptyLatentImage", category="latent/stable_cascade")
def stable_cascade_empty_latent_image(
    width: CascadeSide,
    height: CascadeSide,
    compression: Compression,
    batch_size: Annotated[int, Int(default=1, min=1, max=4096)],
) -> tuple[StageC, StageB]:
    """Make blank latents for both stages; `compression` is how many pixels wide a unit of the first one is."""
    first = torch.zeros(batch_size, STAGE_C_CHANNELS, height // compression, width // compression)
    return {"samples": first}, _blank_stage_b(batch_size, height, width)


@cascade_node("StableCascade_StageB_Conditioning", category="conditioning/stable_cascade")
def stable_cascade_stage_b_conditioning(conditioning: OpenConditions, stage_c: OpenLatent) -> Conditions:
    """Let the second stage follow what the first one made."""
    return with_values(conditioning, stable_cascade_prior=stage_c["samples"])


@cascade_node("StableCascade_StageC_VAEEncode", category="latent/stable_cascade")
def stable_cascade_stage_c_vae_encode(
    image: OpenImage, vae: OpenVae, compression: Compression
) -> tuple[StageC, StageB]:
    """Turn pictures into latents of the first stage, and blank ones for the second."""
    codec = present_codec(vae)
    height, width = image.shape[1:3]
    rows, columns = (max(1, side // compression) * codec.downscale for side in (height, width))
    with reported():
        first = codec.encode(resize_image(image[..., :3], columns, rows, "bicubic", "center"))
    # Whole units of eight pixels, of which stage B has two along each side.
    return {"samples": first}, _blank_stage_b(len(first), height // 8 * 8, width // 8 * 8)


@cascade_node("StableCascade_SuperResolutionControlnet", category="_for_testing/stable_cascade", experimental=True)
def stable_cascade_super_resolution_controlnet(
    image: OpenImage, vae: OpenVae
) -> tuple[Annotated[Image, Out("controlnet_input")], StageC, StageB]:
    """Encode pictures for the control network that enlarges, with blank latents of both stages."""
    batch, height, width = image.shape[:3]
    with reported():
        hint = present_codec(vae).encode(image[..., :3]).movedim(1, -1)
    first: LatentDict = {"samples": torch.zeros(batch, STAGE_C_CHANNELS, height // 16, width // 16)}
    second: LatentDict = {"samples": torch.zeros(batch, STAGE_B_CHANNELS, height // 2, width // 2)}
    return hint, first, second


def _blank_stage_b(batch: int, height: int, width: int) -> LatentDict:
    shape = (batch, STAGE_B_CHANNELS, height // STAGE_B_PIXELS, width // STAGE_B_PIXELS)
    return {"samples": torch.zeros(shape)}
