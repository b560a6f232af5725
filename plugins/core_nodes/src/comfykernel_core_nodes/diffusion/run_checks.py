"""What can be said about a run before and after it: schedules, latents and noise that make no sense."""

from __future__ import annotations

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import InvalidLatent, InvalidSchedule, LatentShapeError


def check_run(sigmas: Tensor, noise: Tensor, latent: Tensor) -> None:
    """Raise the error that says why a run over these levels makes no sense."""
    check_sigmas(sigmas)
    check_latent(latent)
    check_noise(noise, latent)


def check_sigmas(sigmas: Tensor) -> None:
    """Raise `InvalidSchedule` for levels that are no list of finite numbers from 0 up.

    They may rise: a run over rising levels adds noise.
    """
    if sigmas.ndim != 1:
        raise InvalidSchedule(f"Expected a list of sigmas, got a tensor of shape {list(sigmas.shape)}.")
    wrong = ~torch.isfinite(sigmas) | (sigmas < 0)
    if bool(wrong.any()):
        place = int(wrong.nonzero()[0])
        raise InvalidSchedule(
            f"Sigma {place} of {len(sigmas)} is {float(sigmas[place]):g}; every sigma must be a number from 0 up.",
            "Look at the scheduler node: too few steps or extreme options give such levels.",
        )


def check_latent(latent: Tensor) -> None:
    """Raise `InvalidLatent` for a latent with NaN or infinity."""
    wrong = int((~torch.isfinite(latent)).sum())
    if wrong:
        raise InvalidLatent(
            f"{wrong} of {latent.numel()} values of the latent are NaN or infinite, so nothing can be drawn over it.",
            "Look at what made the latent: a VAE in half precision often does that.",
        )


def check_noise(noise: Tensor, latent: Tensor) -> None:
    """Raise `LatentShapeError` for noise of another shape than the latent's."""
    if noise.shape != latent.shape:
        raise LatentShapeError(
            f"The noise has the shape {list(noise.shape)}, the latent {list(latent.shape)}.",
            "A latent's batch_index must name as many rows as the latent has.",
        )


def check_result(result: Tensor, sigmas: Tensor) -> None:
    """Raise `InvalidSchedule` for a result with NaN from levels that do not fall."""
    if bool(torch.isfinite(result).all()):
        return
    rises = (sigmas[1:] >= sigmas[:-1]).nonzero()
    if len(rises):
        place = int(rises[0])
        raise InvalidSchedule(
            f"The result is no picture: sigma does not fall from {float(sigmas[place]):g} (step {place}) "
            f"to {float(sigmas[place + 1]):g}, and this sampler cannot follow that.",
            "Use falling sigmas, or the sampler euler, which can add noise as well.",
        )
