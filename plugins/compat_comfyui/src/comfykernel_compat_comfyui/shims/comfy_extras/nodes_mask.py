"""Masks, and pasting by masks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_compat_comfyui.lacking_names import node_or_missing
from comfykernel_compat_comfyui.shims.comfy.utils import repeat_to_batch_size


def composite(
    destination: Tensor, source: Tensor, x: int, y: int, mask: Tensor | None = None, multiplier: int = 8,
    resize_source: bool = False,
) -> Tensor:  # fmt: skip
    """Paste a source [batch, channel, height, width] at x and y by a mask; ``multiplier`` pixels are one unit."""
    destination = destination.clone()
    source = source.to(destination)
    if resize_source:
        source = functional.interpolate(source, size=destination.shape[2:], mode="bilinear")
    source = repeat_to_batch_size(source, destination.shape[0])
    left = max(-source.shape[3] * multiplier, min(x, destination.shape[3] * multiplier)) // multiplier
    top = max(-source.shape[2] * multiplier, min(y, destination.shape[2] * multiplier)) // multiplier
    if mask is None:
        weight = torch.ones_like(source)
    else:
        fitted = mask.to(destination).reshape(-1, 1, *mask.shape[-2:])
        weight = functional.interpolate(fitted, size=source.shape[2:], mode="bilinear")
        weight = repeat_to_batch_size(weight, source.shape[0])
    width = max(0, min(destination.shape[3] - max(left, 0), source.shape[3] + min(left, 0)))
    height = max(0, min(destination.shape[2] - max(top, 0), source.shape[2] + min(top, 0)))
    begin_y, begin_x = max(0, -top), max(0, -left)
    inside = (..., slice(begin_y, begin_y + height), slice(begin_x, begin_x + width))
    place = (..., slice(max(top, 0), max(top, 0) + height), slice(max(left, 0), max(left, 0) + width))
    weight = weight[inside]
    destination[place] = source[inside] * weight + destination[place] * (1.0 - weight)
    return destination


def __getattr__(name: str) -> Any:
    """A node of comfykernel as a class."""
    return node_or_missing("comfy_extras.nodes_mask", name)
