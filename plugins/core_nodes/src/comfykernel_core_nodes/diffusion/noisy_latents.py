"""Noise on latents outside of a run."""

from __future__ import annotations

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.run_checks import check_noise, check_sigmas
from comfykernel_core_nodes.diffusion.sampling import fitted_latent


def noisy_latent(model: DiffusionModel, noise: Tensor, latent: Tensor, sigmas: Tensor) -> Tensor:
    """The latent with the noise that a schedule removes: of its first level less its last, or of its only one.

    latent: [batch, channel, height, width] in the autoencoder's scale; noise of the same shape. An empty schedule
    gives the latent back. Raises `LatentShapeError` and `InvalidSchedule`.
    """
    if not len(sigmas):
        return latent
    check_sigmas(sigmas)
    latent = fitted_latent(model, latent)
    check_noise(noise, latent)
    level = (sigmas[0] - sigmas[-1]).abs() if len(sigmas) > 1 else sigmas[0]
    clean = model.latent_format.to_model(latent.float()) if latent.count_nonzero() else latent.float()
    noisy = model.sampling.path.add_noise(clean, noise.float(), level)
    return torch.nan_to_num(model.latent_format.from_model(noisy), nan=0.0, posinf=0.0, neginf=0.0)
