"""Blurs and maps of self-attention guidance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_compat_comfyui.lacking_names import node_or_missing


def gaussian_blur_2d(img: Tensor, kernel_size: int, sigma: float) -> Tensor:
    """Blur [batch, channel, height, width] by a Gaussian, mirrored at the border."""
    half = (kernel_size - 1) * 0.5
    places = torch.linspace(-half, half, steps=kernel_size)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    line = (weights / weights.sum()).to(img)
    kernel = torch.mm(line[:, None], line[None, :]).expand(img.shape[-3], 1, kernel_size, kernel_size)
    padded = functional.pad(img, [kernel_size // 2] * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=img.shape[-3])


def create_blur_map(x0: Tensor, attn: Tensor, sigma: float = 3.0, threshold: float = 1.0) -> Tensor:
    """A latent blurred where attention [batch, heads, tokens, tokens] is strong.

    Hong et al. 2022, arXiv:2210.00939.
    """
    height, width = x0.shape[-2:]
    strong = attn.mean(1, keepdim=False).sum(1, keepdim=False) > threshold
    ratio = 2 ** round(0.5 * torch.log2(torch.tensor(height * width / attn.shape[-1])).item())
    rows, columns = -(-height // ratio), -(-width // ratio)
    mask = strong.reshape(attn.shape[0], 1, rows, columns).to(x0)
    mask = functional.interpolate(mask, (height, width))
    return gaussian_blur_2d(x0, kernel_size=9, sigma=sigma) * mask + x0 * (1 - mask)


def __getattr__(name: str) -> Any:
    """A node of comfykernel as a class."""
    return node_or_missing("comfy_extras.nodes_sag", name)
