"""Maps brought to another size or batch: what masks, hints and extra latents need before a network sees them."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as functional
from torch import Tensor

Method = Literal["nearest-exact", "bilinear", "area", "bicubic"]


def resized(maps: Tensor, height: int, width: int, method: Method = "bilinear", *, crop: bool = False) -> Tensor:
    """Maps [batch, channel, height, width] at another size; `crop` first cuts the middle to the new proportions."""
    if maps.shape[-2:] == (height, width):
        return maps
    if crop:
        maps = centre_cropped(maps, height / width)
    return functional.interpolate(maps, size=(height, width), mode=method)


def centre_cropped(maps: Tensor, proportion: float) -> Tensor:
    """The middle of maps [..., height, width], with height / width brought to a proportion."""
    height, width = maps.shape[-2:]
    top = left = 0
    if height / width > proportion:
        top = round((height - width * proportion) / 2)
    else:
        left = round((width - height / proportion) / 2)
    return maps[..., top : height - top, left : width - left]


def repeated(tensor: Tensor, batch: int) -> Tensor:
    """Repeat rows to a batch size, cutting what is too much."""
    if len(tensor) == batch:
        return tensor
    return tensor.repeat(-(-batch // len(tensor)), *[1] * (tensor.ndim - 1))[:batch]


def spread(tensor: Tensor, batch: int) -> Tensor:
    """Bring rows to a batch size: each repeated in place, or evenly spaced ones when there are too many."""
    count = len(tensor)
    if count == batch or batch <= 1:
        return tensor[:batch]
    if count == 1:
        return tensor.expand(batch, *tensor.shape[1:])
    if batch < count:
        scale = (count - 1) / (batch - 1)
        picked = [min(round(i * scale), count - 1) for i in range(batch)]
    else:
        scale = count / batch
        picked = [min(int((i + 0.5) * scale), count - 1) for i in range(batch)]
    return tensor[picked]
