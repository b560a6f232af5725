"""Rounding to few bits."""

from __future__ import annotations

import torch
from torch import Tensor


def stochastic_rounding(value: Tensor, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Round to a precision, up or down at random so that the mean stays the same; wide precisions round to nearest."""
    if dtype not in (torch.float8_e4m3fn, torch.float8_e5m2):
        return value.to(dtype)
    generator = torch.Generator(device=value.device).manual_seed(seed)
    mantissa, smallest = (3, -6) if dtype is torch.float8_e4m3fn else (2, -14)
    wide = value.float()
    exponent = torch.floor(torch.log2(wide.abs().clamp_min(2.0**smallest)))
    step = torch.exp2(exponent - mantissa)
    noise = torch.rand(wide.shape, generator=generator, device=value.device)
    rounded = torch.floor(wide / step + noise) * step
    info = torch.finfo(dtype)
    return rounded.clamp(info.min, info.max).to(dtype)
