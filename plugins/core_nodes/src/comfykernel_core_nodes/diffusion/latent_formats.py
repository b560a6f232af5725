"""Latent formats: how the latents of an autoencoder are scaled for a model, and which colours they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LatentFormat:
    """Scale and approximate colours of a family's latents.

    `rgb_factors` has one row (red, green, blue) a channel: a linear fit of colours in -1..1 to latents; empty where
    none is known.
    """

    channels: int = 4
    scale: float = 1.0
    rgb_factors: tuple[tuple[float, float, float], ...] = ()
    rgb_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def to_model(self, latent: Tensor) -> Tensor:
        """From the autoencoder's scale to the diffusion model's."""
        return latent * self.scale

    def from_model(self, latent: Tensor) -> Tensor:
        """From the diffusion model's scale to the autoencoder's."""
        return latent / self.scale


# The scale makes the latents' standard deviation about 1 (Rombach et al. 2022, appendix G).
SD1: Final = LatentFormat(
    channels=4,
    scale=0.18215,
    rgb_factors=(
        (0.3512, 0.2297, 0.3227),
        (0.3250, 0.4974, 0.2350),
        (-0.2829, 0.1762, 0.2721),
        (-0.2120, -0.2616, -0.7177),
    ),
)
