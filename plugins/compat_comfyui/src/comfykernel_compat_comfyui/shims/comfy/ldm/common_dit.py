"""Parts that transformers share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def rms_norm(x: Tensor, weight: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """Divide by the root mean square along the last dimension (Zhang and Sennrich 2019), then weigh."""
    scaled = x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps).to(x.dtype)
    return scaled if weight is None else scaled * weight.to(x)


def pad_to_patch_size(img: Tensor, patch_size: Sequence[int] = (2, 2), padding_mode: str = "circular") -> Tensor:
    """Lengthen the last dimensions to whole patches."""
    padding: list[int] = []
    for length, patch in zip(reversed(img.shape[-len(patch_size) :]), reversed(patch_size), strict=True):
        padding += [0, -length % patch]
    return nn.functional.pad(img, padding, mode=padding_mode)
