"""Nodes that calculate with latents."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled
from comfykernel_core_nodes.nodes.image.resampling import resize
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Float, Latent, LatentDict, Socket

latent_node = extra_node("nodes_latent")

Samples = Annotated[LatentDict, Socket("LATENT", bare=False)]


def fitted(samples: Tensor, like: Tensor, method: str = "bilinear") -> Tensor:
    """Latents [batch, channel, (frame,) height, width] cut and resized to the size of others.

    Raises:
        BadInput: they have other channels or frames.
    """
    if samples.shape[1:] == like.shape[1:]:
        return samples
    if samples.shape[1:-2] != like.shape[1:-2]:
        raise BadInput(
            f"The latents have the shapes {list(like.shape)} and {list(samples.shape)}.", type="latent_channels",
            hint="Both must have the same channels: encode them with one autoencoder.",
        )  # fmt: skip
    flat = samples.reshape(-1, 1, *samples.shape[-2:])
    return resize(flat, like.shape[-1], like.shape[-2], method, "center").reshape(len(samples), *like.shape[1:])


def _pair(first: LatentDict, second: LatentDict) -> tuple[Tensor, Tensor]:
    a = first["samples"]
    return a, cycled(fitted(second["samples"], a), len(a)).to(a)


@latent_node("LatentAdd", category="latent/advanced", deprecated=False, experimental=False, api_node=False)
def latent_add(samples1: Samples, samples2: Samples) -> Latent:
    """Add two latents; the second is resized and repeated to the first."""
    a, b = _pair(samples1, samples2)
    return {**samples1, "samples": a + b}


@latent_node("LatentSubtract", category="latent/advanced", deprecated=False, experimental=False, api_node=False)
def latent_subtract(samples1: Samples, samples2: Samples) -> Latent:
    """Take the second latent away from the first; the second is resized and repeated to the first."""
    a, b = _pair(samples1, samples2)
    return {**samples1, "samples": a - b}


@latent_node("LatentMultiply", category="latent/advanced", deprecated=False, experimental=False, api_node=False)
def latent_multiply(
    samples: Samples, multiplier: Annotated[float, Float(default=1.0, min=-10.0, max=10.0, step=0.01)]
) -> Latent:
    """Multiply a latent by a number."""
    return {**samples, "samples": samples["samples"] * multiplier}


@latent_node("LatentInterpolate", category="latent/advanced", deprecated=False, experimental=False, api_node=False)
def latent_interpolate(
    samples1: Samples, samples2: Samples, ratio: Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.01)]
) -> Latent:
    """Go from the second latent (ratio 0) to the first (ratio 1): directions and lengths are mixed apart.

    At each place the channels are one vector; a mixture of two vectors of some length gets the mixed length back.
    """
    a, b = _pair(samples1, samples2)
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    mixed = torch.nan_to_num(a / length_a) * ratio + torch.nan_to_num(b / length_b) * (1.0 - ratio)
    direction = torch.nan_to_num(mixed / mixed.norm(dim=1, keepdim=True))
    return {**samples1, "samples": direction * (length_a * ratio + length_b * (1.0 - ratio))}


@core_node("LatentBlend", category="_for_testing", display_name="Latent Blend")
def latent_blend(
    samples1: Latent, samples2: Latent, blend_factor: Annotated[float, Float(default=0.5, min=0, max=1, step=0.01)]
) -> Latent:
    """Mix two latents in a straight line; factor 1 is the first."""
    a = samples1["samples"]
    b = cycled(fitted(samples2["samples"], a, "bicubic"), len(a)).to(a)
    return {**samples1, "samples": a * blend_factor + b * (1.0 - blend_factor)}
