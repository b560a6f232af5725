"""What every sampler takes, and the mathematics that several of them share.

A sampler is one function `(denoise, x, sigmas, path, seed, callback, *, options...) -> latent`:

    denoise   the model as a function of a noisy latent and its noise level, guidance included
    x         the noisy latent at sigmas[0], [batch, channel, ...]
    sigmas    decreasing noise levels [steps + 1]
    path      how clean latents and noise are mixed at a level
    seed      of the noise that the sampler adds, 0 .. 2**64 - 1
    callback  called once a step with (step, denoised, x); may raise to stop the run

Samplers never ask which model they have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from comfykernel_core_nodes.diffusion.noise_paths import NoisePath

StepCallback = Callable[[int, Tensor, Tensor], None]


class Guided(NamedTuple):
    """The guided prediction of the clean latent, and the one for the negative condition alone."""

    denoised: Tensor
    uncond: Tensor


class Denoiser(Protocol):
    """A model as samplers see it. `sigma` is a scalar tensor."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Prediction of the clean latent."""

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        """The same with the negative prediction, which CFG++ samplers need at any guidance scale."""


class Sampler(Protocol):
    """The form of all samplers; every option after the sixth parameter has a default."""

    def __call__(
        self, denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
    ) -> Tensor: ...


def derivative(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """dx / dsigma of the probability flow ODE (Karras et al. 2022, eq. 3)."""
    return (x - denoised) / sigma
