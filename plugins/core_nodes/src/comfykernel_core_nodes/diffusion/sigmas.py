"""Noise levels of a model: the table of sigmas, and conversions between sigma, timestep and progress."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

# Progress 0 means "from the very start", whatever noise level a run begins at.
BEFORE_ALL_SIGMAS = 999999999.9
# Betas of Stable Diffusion 1.x and SDXL: a line between their square roots, 1000 steps.
BETA_START, BETA_END, TRAINING_STEPS = 0.00085, 0.012, 1000
# Smallest cumulative alpha after rescaling to zero terminal SNR; keeps the largest sigma finite (about 4518).
ZERO_SNR_ALPHA = 4.8973451890853435e-08


class NoiseLevels(Protocol):
    """The noise levels a model was trained on. `sigmas` is float32 [n], ascending."""

    @property
    def sigmas(self) -> Tensor: ...

    def timestep(self, sigma: Tensor) -> Tensor:
        """The conditioning value that the network expects for a noise level."""

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise level at a timestep, interpolated where the levels are discrete.

        The inverse of `timestep`, but for shifted levels, whose table is shifted here and conditioned on sigma itself.
        """

    def percent_to_sigma(self, percent: float) -> float:
        """Noise level at a progress in 0..1 (0: start, pure noise; 1: end)."""


def sigma_min(levels: NoiseLevels) -> Tensor:
    """Smallest trained noise level."""
    return levels.sigmas[0]


def sigma_max(levels: NoiseLevels) -> Tensor:
    """Largest trained noise level."""
    return levels.sigmas[-1]


def scaled_linear_sigmas(*, zero_terminal_snr: bool = False) -> Tensor:
    """Sigmas of the scaled-linear beta schedule: sqrt((1 - abar) / abar), float32 [1000].

    `zero_terminal_snr` rescales sqrt(abar) so that the last step is pure noise (Lin et al. 2023, arXiv:2305.08891).
    """
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAINING_STEPS, dtype=torch.float64) ** 2
    cumulative = torch.cumprod(1.0 - betas, dim=0)
    if zero_terminal_snr:
        root = cumulative.sqrt()
        first, last = root[0].clone(), root[-1].clone()
        cumulative = ((root - last) * (first / (first - last))) ** 2
        cumulative[-1] = ZERO_SNR_ALPHA
    return ((1.0 - cumulative) / cumulative).sqrt().float()


@dataclass(frozen=True)
class DiscreteLevels:
    """A table of levels, one per training timestep; between two of them log(sigma) is linear.

    `stride` is the number of training timesteps between two entries (1 for a full table, 20 for the 50-step
    tables of consistency-distilled models).
    """

    sigmas: Tensor
    stride: int = 1
    log_sigmas: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_sigmas", self.sigmas.log())

    @classmethod
    def scaled_linear(cls, *, zero_terminal_snr: bool = False) -> DiscreteLevels:
        """The 1000 levels of Stable Diffusion 1.x, 2.x and SDXL."""
        return cls(scaled_linear_sigmas(zero_terminal_snr=zero_terminal_snr))

    @classmethod
    def distilled(cls, *, original_steps: int = 50, zero_terminal_snr: bool = False) -> DiscreteLevels:
        """The levels of a latent consistency model: every 20th of the 1000, counted from the noisiest."""
        stride = TRAINING_STEPS // original_steps
        sigmas = scaled_linear_sigmas(zero_terminal_snr=zero_terminal_snr)
        return cls(sigmas[stride - 1 :: stride].clone(), stride)

    def timestep(self, sigma: Tensor) -> Tensor:
        distance = sigma.log().flatten() - self.log_sigmas.to(sigma.device)[:, None]
        index = distance.abs().argmin(dim=0).view(sigma.shape)
        return (index * self.stride + (self.stride - 1)).to(sigma.device)

    def sigma(self, timestep: Tensor) -> Tensor:
        position = (timestep.float() - (self.stride - 1)) / self.stride
        position = position.clamp(min=0, max=len(self.sigmas) - 1)
        low = position.floor().long()
        high, weight = position.ceil().long(), position.frac()
        table = self.log_sigmas.to(timestep.device)
        return ((1 - weight) * table[low] + weight * table[high]).exp()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return BEFORE_ALL_SIGMAS
        if percent >= 1.0:
            return 0.0
        return float(self.sigma(torch.tensor((1.0 - percent) * (TRAINING_STEPS - 1))))


@dataclass(frozen=True)
class LogUniformLevels:
    """1000 levels between two bounds, even in log(sigma), conditioned on log(sigma) / 4 (Karras et al. 2022)."""

    smallest: float
    largest: float
    sigmas: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        logs = torch.linspace(math.log(self.smallest), math.log(self.largest), TRAINING_STEPS)
        object.__setattr__(self, "sigmas", logs.exp())

    def timestep(self, sigma: Tensor) -> Tensor:
        return 0.25 * sigma.log()

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep / 0.25).exp()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return BEFORE_ALL_SIGMAS
        if percent >= 1.0:
            return 0.0
        low = math.log(self.smallest)
        return math.exp(low + (math.log(self.largest) - low) * (1.0 - percent))


@dataclass(frozen=True)
class AngularLevels(LogUniformLevels):
    """Log-uniform levels conditioned on the angle 2 atan(sigma) / pi of a v-prediction model."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma.atan() / math.pi * 2

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep * math.pi / 2).tan()


@dataclass(frozen=True)
class RatioLevels(LogUniformLevels):
    """Log-uniform levels conditioned on sigma / (sigma + 1): Cosmos models, trained as rectified flows."""

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma / (sigma + 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        return (timestep / (1 - timestep)).clamp(max=self.largest)


@dataclass(frozen=True)
class CosineLevels:
    """10,000 levels of the cosine schedule (Nichol and Dhariwal 2021), shifted in log-SNR: Stable Cascade."""

    shift: float = 1.0
    offset: float = 8e-3
    sigmas: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", self.sigma(torch.arange(1, 10001) / 10000))

    @property
    def _first_alpha(self) -> Tensor:
        offset = torch.tensor(self.offset)
        return (offset / (1 + offset) * math.pi * 0.5).cos() ** 2

    def timestep(self, sigma: Tensor) -> Tensor:
        variance = (1 / (sigma**2 + 1)).clamp(0, 1)
        angle = (variance * self._first_alpha).sqrt().acos()
        return angle / (math.pi * 0.5) * (1 + self.offset) - self.offset

    def sigma(self, timestep: Tensor) -> Tensor:
        offset = torch.tensor(self.offset)
        angle = (timestep + offset) / (1 + offset) * math.pi * 0.5
        alpha = angle.cos() ** 2 / self._first_alpha
        if self.shift != 1.0:
            alpha = ((alpha / (1 - alpha)).log() + 2 * math.log(1.0 / self.shift)).sigmoid()
        alpha = alpha.clamp(0.0001, 0.9999)
        return ((1 - alpha) / alpha).sqrt()

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return BEFORE_ALL_SIGMAS
        if percent >= 1.0:
            return 0.0
        return float(self.sigma(torch.tensor(1.0 - percent)))


@dataclass(frozen=True)
class FlowLevels:
    """Levels of a rectified flow, time-shifted as in SD3 (Esser et al. 2024, arXiv:2403.03206, eq. 23)."""

    shift: float = 1.0
    multiplier: float = 1000.0
    sigmas: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        table = self.sigma((torch.arange(1, TRAINING_STEPS + 1) / TRAINING_STEPS) * self.multiplier)
        object.__setattr__(self, "sigmas", table)

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier

    def sigma(self, timestep: Tensor) -> Tensor:
        t = timestep / self.multiplier
        return t if self.shift == 1.0 else self.shift * t / (1 + (self.shift - 1) * t)

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return 1.0
        if percent >= 1.0:
            return 0.0
        t = 1.0 - percent
        return t if self.shift == 1.0 else self.shift * t / (1 + (self.shift - 1) * t)


@dataclass(frozen=True)
class ExponentialFlowLevels:
    """Levels of a rectified flow, shifted as in Flux: e^mu / (e^mu + 1/t - 1), 10,000 of them."""

    mu: float = 1.15
    sigmas: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", self.sigma(torch.arange(1, 10001) / 10000))

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma

    def sigma(self, timestep: Tensor) -> Tensor:
        return math.exp(self.mu) / (math.exp(self.mu) + (1 / timestep - 1))

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0.0:
            return 1.0
        if percent >= 1.0:
            return 0.0
        return math.exp(self.mu) / (math.exp(self.mu) + (1 / (1.0 - percent) - 1))
