"""The noise schedule of SD1.x and a plain Euler sampler over it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TIMESTEPS = 1000
BETA_START = 0.00085
BETA_END = 0.012

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""Noise in a latent scaled to unit variance, given the latent and its timesteps [batch]."""


def signal_levels() -> Tensor:
    """Cumulated alphas [1000] of the scaled-linear schedule (Ho et al. 2020, section 2; betas as in SD1.x)."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


@torch.no_grad()
def sample_euler(denoise: Denoiser, noise: Tensor, steps: int) -> Tensor:
    """Latents from unit noise [batch, channels, height, width] in `steps` Euler steps (Karras et al. 2022, alg. 1).

    The timesteps are evenly spaced from the last to the first, and the last step goes to sigma 0.
    """
    levels = signal_levels()
    table = ((1 - levels) / levels).sqrt()
    timesteps = torch.linspace(TIMESTEPS - 1, 0, steps)
    low = timesteps.floor().long()
    log_sigmas = torch.lerp(table[low].log(), table[(low + 1).clamp(max=TIMESTEPS - 1)].log(), timesteps - low)
    sigmas = torch.cat([log_sigmas.exp(), torch.zeros(1)])
    x = noise * (1 + sigmas[0] ** 2).sqrt()
    for timestep, sigma, following in zip(timesteps, sigmas, sigmas[1:], strict=False):
        unit = x / (1 + sigma**2).sqrt()
        x = x + denoise(unit, timestep.expand(len(x))) * (following - sigma)
    return x
