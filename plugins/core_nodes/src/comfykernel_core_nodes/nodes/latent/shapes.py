"""Nodes that make and change latents without a model."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.image.resampling import resize
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, CropMethod
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Int, Latent, LatentDict, Mask, Out

PIXELS_PER_LATENT: Final = 8
"""Side of the square of pixels that one latent position stands for."""

LATENT_CHANNELS: Final = 4

SMALLEST_RESIZED: Final = 64
"""Shortest side, in pixels, that LatentUpscale makes when one side follows from the other."""

LatentMethod: TypeAlias = Annotated[str, Choice("nearest-exact", "bilinear", "area", "bicubic", "bislerp", bare=True)]
LatentSide: TypeAlias = Annotated[int, Int(default=512, min=0, max=MAX_SIDE, step=8)]
LatentOffset: TypeAlias = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=8)]


@core_node("EmptyLatentImage", category="latent", display_name="Empty Latent Image")
def empty_latent_image(
    width: Annotated[int, Int(default=512, min=16, max=MAX_SIDE, step=8, tooltip="Width of the pictures in pixels.")],
    height: Annotated[int, Int(default=512, min=16, max=MAX_SIDE, step=8, tooltip="Height of the pictures in pixels.")],
    batch_size: Annotated[int, Int(default=1, min=1, max=4096, tooltip="How many pictures are made at once.")],
) -> Annotated[Latent, Out(tooltip="Zeros, for a sampler to start from.")]:
    """Make blank latents, the canvas of text to image."""
    shape = (batch_size, LATENT_CHANNELS, height // PIXELS_PER_LATENT, width // PIXELS_PER_LATENT)
    return {"samples": torch.zeros(shape)}


@core_node("LatentUpscale", category="latent", display_name="Upscale Latent")
def latent_upscale(
    samples: Latent, upscale_method: LatentMethod, width: LatentSide, height: LatentSide, crop: CropMethod
) -> Latent:
    """Resize latents to a size in pixels. A side of 0 follows from the other one; two zeros change nothing."""
    if width == 0 and height == 0:
        return samples
    old_height, old_width = samples["samples"].shape[-2:]
    width = max(SMALLEST_RESIZED, width or round(old_width * height / old_height))
    height = max(SMALLEST_RESIZED, height or round(old_height * width / old_width))
    return _resized(samples, width // PIXELS_PER_LATENT, height // PIXELS_PER_LATENT, upscale_method, crop)


@core_node("LatentUpscaleBy", category="latent", display_name="Upscale Latent By")
def latent_upscale_by(
    samples: Latent,
    upscale_method: LatentMethod,
    scale_by: Annotated[float, Float(default=1.5, min=0.01, max=8.0, step=0.01)],
) -> Latent:
    """Resize latents by a factor."""
    height, width = (max(1, round(side * scale_by)) for side in samples["samples"].shape[-2:])
    return _resized(samples, width, height, upscale_method, "disabled")


def _resized(latent: LatentDict, width: int, height: int, method: str, crop: str) -> LatentDict:
    return {**latent, "samples": resize(latent["samples"], width, height, method, crop)}


@core_node("RepeatLatentBatch", category="latent/batch", display_name="Repeat Latent Batch")
def repeat_latent_batch(samples: Latent, amount: Annotated[int, Int(default=1, min=1, max=64)]) -> Latent:
    """Repeat a whole batch. Each copy gets batch indices of its own, so that its noise differs."""
    tensor = samples["samples"]
    result: LatentDict = {**samples, "samples": tensor.repeat(amount, *[1] * (tensor.ndim - 1))}
    mask = _mask_of_each_sample(samples)
    if mask is not None:
        result["noise_mask"] = mask.repeat(amount, *[1] * (mask.ndim - 1))
    if "batch_index" in samples:
        indices = samples["batch_index"]
        span = max(indices) - min(indices) + 1
        result["batch_index"] = [index + copy * span for copy in range(amount) for index in indices]
    return result


@core_node("LatentFromBatch", category="latent/batch", display_name="Latent From Batch")
def latent_from_batch(
    samples: Latent,
    batch_index: Annotated[int, Int(default=0, min=0, max=63)],
    length: Annotated[int, Int(default=1, min=1, max=64)],
) -> Latent:
    """Take a part of a batch. The batch indices remember where it was, so that its noise stays the same."""
    tensor = samples["samples"]
    start = min(batch_index, tensor.shape[0] - 1)
    part = slice(start, min(start + length, tensor.shape[0]))
    result: LatentDict = {**samples, "samples": tensor[part].clone()}
    mask = _mask_of_each_sample(samples)
    if mask is not None:
        result["noise_mask"] = mask[part].clone()
    indices = samples.get("batch_index") or list(range(tensor.shape[0]))
    result["batch_index"] = indices[part]
    return result


def _mask_of_each_sample(latent: LatentDict) -> Tensor | None:
    """The noise mask with one entry for every sample: a shorter one is repeated."""
    mask = latent.get("noise_mask")
    if mask is None:
        return None
    batch = latent["samples"].shape[0]
    return mask.repeat(math.ceil(batch / mask.shape[0]), *[1] * (mask.ndim - 1))[:batch]


@core_node("SetLatentNoiseMask", category="latent/inpaint", display_name="Set Latent Noise Mask")
def set_latent_noise_mask(samples: Latent, mask: Mask) -> Latent:
    """Let a sampler change only what lies under the mask."""
    return {**samples, "noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])}


@core_node("LatentComposite", category="latent", display_name="Latent Composite")
def latent_composite(
    samples_to: Latent, samples_from: Latent, x: LatentOffset, y: LatentOffset, feather: LatentOffset
) -> Latent:
    """Put one latent on another at a place in pixels, with edges softened over ``feather`` pixels."""
    x, y, feather = (value // PIXELS_PER_LATENT for value in (x, y, feather))
    base, pasted = samples_to["samples"].clone(), samples_from["samples"]
    if base.shape[1:-2] != pasted.shape[1:-2] or len(pasted) not in (1, len(base)):
        raise BadInput(
            f"The latents have the shapes {list(base.shape)} and {list(pasted.shape)}.", type="latent_shape",
            hint="Both must have the same channels, and the one on top as many samples as the other, or one.",
        )  # fmt: skip
    height, width = base.shape[-2:]
    pasted = pasted[..., : max(0, height - y), : max(0, width - x)]
    bottom, right = y + pasted.shape[-2], x + pasted.shape[-1]
    opacity = _ramps(pasted, feather, top=y > 0, bottom=bottom < height, left=x > 0, right=right < width)
    covered = (..., slice(y, bottom), slice(x, right))
    base[covered] = pasted * opacity + base[covered] * (1.0 - opacity)
    return {**samples_to, "samples": base}


def _ramps(samples: Tensor, feather: int, *, top: bool, bottom: bool, left: bool, right: bool) -> Tensor:
    """Opacity [height, width] that rises to 1 over ``feather`` positions from each of the named edges."""
    height, width = samples.shape[-2:]
    opacity = torch.ones(height, width)
    if feather == 0:
        return opacity
    rows = ((torch.arange(height) + 1) / feather).clamp(max=1.0).view(-1, 1)
    columns = ((torch.arange(width) + 1) / feather).clamp(max=1.0).view(1, -1)
    for wanted, ramp in ((top, rows), (bottom, rows.flip(0)), (left, columns), (right, columns.flip(1))):
        if wanted:
            opacity = opacity * ramp
    return opacity
