"""Noise paths: how a clean latent and noise are mixed at a noise level, and what a sampler may ask about it.

A path is x = alpha(sigma) * clean + sigma * noise. Samplers work on paths only, so that one function serves
every model. Latents have any shape [batch, channel, ...]; sigmas are scalars or broadcast against them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

# Progress whose noise level stands for sigma 1 of a flow, where the signal-to-noise ratio would be zero.
FIRST_FINITE_PERCENT = 1e-4


class AncestralStep(NamedTuple):
    """A step split into a deterministic part down to `sigma_down` and fresh noise: scale * x + sigma_up * noise."""

    sigma_down: Tensor
    scale: Tensor
    sigma_up: Tensor


class NoisePath(Protocol):
    """What a sampler may ask about the way from noise to clean latents."""

    @property
    def percent_to_sigma(self) -> Callable[[float], float]:
        """Noise level at a progress in 0..1."""

    def alpha(self, sigma: Tensor) -> Tensor:
        """Weight of the clean latent at a noise level."""

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        """lambda = log(alpha / sigma)."""

    def sigma_at(self, half_log_snr: Tensor) -> Tensor:
        """Inverse of `half_log_snr`."""

    def ancestral_step(self, sigma: Tensor, sigma_next: Tensor, eta: float) -> AncestralStep:
        """Split the step sigma -> sigma_next; eta 0 is deterministic, 1 fully ancestral."""

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: Tensor, *, full: bool = False) -> Tensor:
        """Mix noise into a latent; `full` when the run starts at the model's largest noise level."""

    def remove_scale(self, latent: Tensor, sigma: Tensor) -> Tensor:
        """Undo the weight of the clean latent at the noise level where a run ended."""

    def with_finite_snr(self, sigmas: Tensor) -> Tensor:
        """The schedule with a first level whose half_log_snr is finite."""


def variance_exploding_step(sigma: Tensor, sigma_next: Tensor, eta: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return (sigma_down, sigma_up) of an ancestral step.

    Source: Karras et al. 2022 (arXiv:2206.00364) and Ho et al. 2020, in the form used by k-diffusion.
    """
    if not eta:
        return sigma_next, torch.zeros_like(sigma_next)
    up = eta * sigma_next * (1 - (sigma_next / sigma) ** 2).clamp(min=0).sqrt()
    # Nothing of a state of pure noise is kept, whatever eta.
    sigma_up = torch.where(sigma.isinf(), sigma_next, torch.minimum(sigma_next, up))
    return (sigma_next**2 - sigma_up**2).sqrt(), sigma_up


@dataclass(frozen=True, slots=True)
class VarianceExploding:
    """x = clean + sigma * noise: models that predict epsilon, v, x0 or the EDM target."""

    percent_to_sigma: Callable[[float], float]

    def alpha(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        return -sigma.log()

    def sigma_at(self, half_log_snr: Tensor) -> Tensor:
        return (-half_log_snr).exp()

    def ancestral_step(self, sigma: Tensor, sigma_next: Tensor, eta: float) -> AncestralStep:
        down, up = variance_exploding_step(sigma, sigma_next, eta)
        return AncestralStep(down, torch.ones_like(down), up)

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: Tensor, *, full: bool = False) -> Tensor:
        return noise * (torch.sqrt(1.0 + sigma**2) if full else sigma) + latent

    def remove_scale(self, latent: Tensor, sigma: Tensor) -> Tensor:
        return latent

    def with_finite_snr(self, sigmas: Tensor) -> Tensor:
        return sigmas


@dataclass(frozen=True, slots=True)
class ScaledFlowPath(VarianceExploding):
    """The same for flows that are seen as variance exploding: a full run starts at plain sigma * noise."""

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: Tensor, *, full: bool = False) -> Tensor:
        return noise * sigma + latent


@dataclass(frozen=True, slots=True)
class RectifiedFlow:
    """x = (1 - sigma) * clean + sigma * noise (Liu et al. 2022, arXiv:2209.03003)."""

    percent_to_sigma: Callable[[float], float]

    def alpha(self, sigma: Tensor) -> Tensor:
        return 1.0 - sigma

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        return -sigma.logit()

    def sigma_at(self, half_log_snr: Tensor) -> Tensor:
        return (-half_log_snr).sigmoid()

    def ancestral_step(self, sigma: Tensor, sigma_next: Tensor, eta: float) -> AncestralStep:
        down = sigma_next * (1.0 + (sigma_next / sigma - 1.0) * eta)
        scale = (1.0 - sigma_next) / (1.0 - down)
        up = (sigma_next**2 - down**2 * scale**2).clamp(min=0).sqrt()
        return AncestralStep(down, scale, up)

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: Tensor, *, full: bool = False) -> Tensor:
        return sigma * noise + (1.0 - sigma) * latent

    def remove_scale(self, latent: Tensor, sigma: Tensor) -> Tensor:
        return latent / (1.0 - sigma)

    def with_finite_snr(self, sigmas: Tensor) -> Tensor:
        if len(sigmas) < 2 or float(sigmas[0]) < 1.0:
            return sigmas
        sigmas = sigmas.clone()
        sigmas[0] = self.percent_to_sigma(FIRST_FINITE_PERCENT)
        return sigmas


def is_full_denoise(sigma_max: float, sigmas: Tensor) -> bool:
    """Whether a schedule starts at the model's largest noise level (or above, within 1e-5 relative)."""
    first = float(sigmas[0])
    return first > sigma_max or math.isclose(first, sigma_max, rel_tol=1e-5)
