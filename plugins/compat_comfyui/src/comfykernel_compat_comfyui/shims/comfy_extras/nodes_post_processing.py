"""Filters of pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from comfykernel_compat_comfyui.lacking_names import node_or_missing


def gaussian_kernel(kernel_size: int, sigma: float, device: Any = None) -> Tensor:
    """A Gaussian over -1..1 in both directions, with the sum 1: [kernel_size, kernel_size]."""
    places = torch.linspace(-1, 1, kernel_size, device=device)
    y, x = torch.meshgrid(places, places, indexing="ij")
    weights = torch.exp(-(x * x + y * y) / (2.0 * sigma * sigma))
    return weights / weights.sum()


def __getattr__(name: str) -> Any:
    """A node of comfykernel as a class."""
    return node_or_missing("comfy_extras.nodes_post_processing", name)
