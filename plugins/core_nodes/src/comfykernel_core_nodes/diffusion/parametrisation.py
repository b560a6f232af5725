"""Parametrisations: how a network's input and output relate to noisy and clean latents.

Each wrapper has one form, `network_input(x, sigma)` and `denoised(x, output, sigma)`; sigma broadcasts against x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Parametrisation(Protocol):
    """The meaning of a network's input and output."""

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network is given for the noisy latent x."""

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""


@dataclass(frozen=True, slots=True)
class Epsilon:
    """The network predicts the noise: clean = x - sigma * output."""

    sigma_data: float = 1.0

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x / (sigma**2 + self.sigma_data**2) ** 0.5

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        return x - output * sigma


@dataclass(frozen=True, slots=True)
class Velocity(Epsilon):
    """The network predicts v (Salimans and Ho 2022, arXiv:2202.00512)."""

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        total = sigma**2 + self.sigma_data**2
        return x * self.sigma_data**2 / total - output * sigma * self.sigma_data / total**0.5


@dataclass(frozen=True, slots=True)
class Preconditioned(Epsilon):
    """The EDM target (Karras et al. 2022, arXiv:2206.00364, table 1)."""

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        total = sigma**2 + self.sigma_data**2
        return x * self.sigma_data**2 / total + output * sigma * self.sigma_data / total**0.5


@dataclass(frozen=True, slots=True)
class Clean(Epsilon):
    """The network predicts the clean latent itself."""

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        return output


@dataclass(frozen=True, slots=True)
class PictureToPicture(Clean):
    """The network turns one clean latent into another; its input is not scaled."""

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x


@dataclass(frozen=True, slots=True)
class Consistency(Epsilon):
    """Latent consistency models (Luo et al. 2023, arXiv:2310.04378): epsilon inside the boundary condition's scalings.

    `timestep` gives the training timestep of a sigma; the scalings use 10 times that value and sigma_data 0.5.
    """

    timestep: Callable[[Tensor], Tensor] = torch.zeros_like

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        clean = x - output * sigma
        scaled = self.timestep(sigma).view(sigma.shape) * 10.0
        skip = 0.25 / (scaled**2 + 0.25)
        out = scaled / (scaled**2 + 0.25) ** 0.5
        return out * clean + skip * x


@dataclass(frozen=True, slots=True)
class Flow:
    """The network predicts noise - clean of a rectified flow; its input is not scaled."""

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        return x - output * sigma


@dataclass(frozen=True, slots=True)
class ScaledFlow:
    """A rectified flow seen as a variance-exploding process (NVIDIA 2025, Cosmos-Predict2): time is s / (s + 1)."""

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x / (sigma + 1)

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        return (x - output * sigma) / (sigma + 1)
