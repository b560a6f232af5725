"""Tensors that follow from a name and a shape: weights, noise, images, masks, and two analytic denoisers."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor


def _generator(key: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(key.encode("utf-8")))


def data(key: str, shape: Sequence[int]) -> Tensor:
    """Standard normal values, float32."""
    return torch.randn(tuple(shape), generator=_generator(key))


def uniform(key: str, shape: Sequence[int]) -> Tensor:
    """Values in 0..1, float32."""
    return torch.rand(tuple(shape), generator=_generator(key))


def weight(key: str, shape: Sequence[int]) -> Tensor:
    """A weight: scaled by its fan-in with two axes and more, else near 1 (weights, scales) or near 0 (biases)."""
    values = data(key, shape)
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:]))
    return 1.0 + 0.1 * values if key.endswith(("weight", "scale")) else 0.1 * values


def image(key: str, batch: int, height: int, width: int, channels: int = 3) -> Tensor:
    """Waves with a little noise: [batch, height, width, channels] in 0..1."""
    x = torch.linspace(0, 1, width).view(1, 1, width, 1)
    y = torch.linspace(0, 1, height).view(1, height, 1, 1)
    b = torch.arange(batch, dtype=torch.float32).view(batch, 1, 1, 1)
    c = torch.arange(channels, dtype=torch.float32).view(1, 1, 1, channels)
    waves = 0.5 + 0.35 * torch.sin(5.0 * x + 2.0 * c + b) * torch.cos(4.0 * y - c + 0.5 * b)
    return (waves + 0.15 * (uniform(key, (batch, height, width, channels)) - 0.5)).clamp(0.0, 1.0)


def mask(key: str, shape: Sequence[int], above: float = 0.5) -> Tensor:
    """1 where a uniform value is above a threshold, else 0."""
    return (uniform(key, shape) > above).float()


def rect_mask(batch: int, height: int, width: int, top: int, bottom: int, left: int, right: int) -> Tensor:
    """A rectangle of ones: [batch, height, width]."""
    values = torch.zeros(batch, height, width)
    values[:, top:bottom, left:right] = 1.0
    return values


def soft_mask(batch: int, height: int, width: int) -> Tensor:
    """A ramp from 0 at the left to 1 at the right: [batch, height, width]."""
    return torch.linspace(0, 1, width).expand(batch, height, width).clone()


def _target(shape: Sequence[int], condition: Tensor) -> Tensor:
    places = torch.arange(math.prod(shape[1:]), dtype=torch.float32).view(1, *shape[1:])
    return condition * torch.cos(0.37 * places)


# Variance of the clean signal that the analytic denoisers assume.
_VARIANCE = 0.25


def denoise_epsilon(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    """An analytic denoiser for x = clean + sigma * noise; sigma and condition: [batch, 1, 1, 1]."""
    total = _VARIANCE + sigma**2
    pulled = (_VARIANCE * x + sigma**2 * _target(x.shape, condition)) / total
    return pulled + 0.05 * condition * torch.sin(2.0 * x / torch.sqrt(1.0 + sigma**2))


def denoise_flow(x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
    """An analytic denoiser for x = (1 - sigma) * clean + sigma * noise."""
    alpha, target = 1.0 - sigma, _target(x.shape, condition)
    gain = alpha * _VARIANCE / (alpha**2 * _VARIANCE + sigma**2)
    return target + gain * (x - alpha * target) + 0.05 * condition * torch.sin(2.0 * x)
