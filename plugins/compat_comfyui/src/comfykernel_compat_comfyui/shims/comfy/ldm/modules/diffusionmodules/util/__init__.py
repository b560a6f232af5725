"""Embeddings of time, and layers that begin as nothing."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def timestep_embedding(timesteps: Tensor, dim: int, max_period: float = 10000, repeat_only: bool = False) -> Tensor:
    """Cosines and sines of timesteps [batch] at ``dim / 2`` frequencies: [batch, dim].

    Vaswani et al. 2017, section 3.5, with frequencies ``max_period ** (-i / half)``.
    """
    if repeat_only:
        return timesteps[:, None].repeat(1, dim)
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    angles = timesteps[:, None].float() * torch.exp(-math.log(max_period) * steps / half)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return nn.functional.pad(embedding, (0, dim % 2))


def zero_module(module: M) -> M:
    """A module whose weights are set to zero."""
    for parameter in module.parameters():
        parameter.detach().zero_()
    return module
