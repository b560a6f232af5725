"""Tables of noise levels for packs that make their own."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

SMALLEST_LAST_ALPHA: Final = 4.8973451890853435e-08
"""Cumulative alpha of pure noise that keeps the largest level finite."""


def scaled_linear_sigmas(start: float, end: float, count: int) -> Tensor:
    """sqrt((1 - abar) / abar) of betas that are even between the square roots of their bounds, float32 [count]."""
    betas = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64) ** 2
    cumulative = torch.cumprod(1.0 - betas, dim=0)
    return ((1.0 - cumulative) / cumulative).sqrt().float()


def zero_terminal_snr(sigmas: Tensor) -> Tensor:
    """Levels rescaled so that the last is pure noise (Lin et al. 2023, arXiv:2305.08891, algorithm 1)."""
    root = (1.0 / (sigmas.double() ** 2 + 1.0)).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    cumulative = ((root - last) * (first / (first - last))) ** 2
    cumulative[-1] = SMALLEST_LAST_ALPHA
    return ((1.0 - cumulative) / cumulative).sqrt().to(sigmas.dtype)
