"""Runs of samplers, with their noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge.library import start_noise

from . import samplers as samplers
from .sampler_helpers import cleanup_additional_models as cleanup_additional_models
from .sampler_helpers import convert_cond as convert_cond
from .sampler_helpers import get_additional_models as get_additional_models
from .sampler_helpers import prepare_mask as prepare_mask

__all__ = ["fix_empty_latent_channels", "np", "prepare_noise", "sample", "sample_custom"]


def prepare_noise(latent_image: Tensor, seed: int, noise_inds: Sequence[int] | None = None) -> Tensor:
    """Standard normal noise of a seed in a latent's shape, on the CPU."""
    return start_noise(latent_image, seed, None if noise_inds is None else [int(index) for index in noise_inds])


def fix_empty_latent_channels(model: Any, latent_image: Tensor) -> Tensor:
    """An empty latent with as many channels as the model wants; any other as it is."""
    wanted = model.get_model_object("latent_format")
    if latent_image.shape[1] != wanted.latent_channels and not torch.count_nonzero(latent_image):
        repeats = [1, wanted.latent_channels, *[1] * (latent_image.ndim - 2)]
        latent_image = latent_image[:, :1].repeat(repeats)
    if wanted.latent_dimensions == 3 and latent_image.ndim == 4:
        latent_image = latent_image.unsqueeze(2)
    return latent_image


def prepare_sampling(model: Any, noise_shape: Any, positive: Any, negative: Any, noise_mask: Any) -> Any:
    """What a run starts from: nothing is to be prepared."""
    return model, positive, negative, noise_mask, []


def sample(
    model: Any, noise: Tensor, steps: int, cfg: float, sampler_name: str, scheduler: str, positive: Any, negative: Any,
    latent_image: Tensor, denoise: float = 1.0, disable_noise: bool = False, start_step: int | None = None,
    last_step: int | None = None, force_full_denoise: bool = False, noise_mask: Tensor | None = None,
    sigmas: Tensor | None = None, callback: Any = None, disable_pbar: bool = False, seed: int | None = None,
) -> Tensor:  # fmt: skip
    """Run a sampler by name over a schedule by name; gives the latent, on the CPU."""
    sampler = samplers.KSampler(
        model, steps=steps, device=model.load_device, sampler=sampler_name, scheduler=scheduler, denoise=denoise,
        model_options=model.model_options,
    )  # fmt: skip
    return sampler.sample(
        noise, positive, negative, cfg=cfg, latent_image=latent_image, start_step=start_step, last_step=last_step,
        force_full_denoise=force_full_denoise, denoise_mask=noise_mask, sigmas=sigmas, callback=callback,
        disable_pbar=disable_pbar, seed=seed,
    )  # fmt: skip


def sample_custom(
    model: Any, noise: Tensor, cfg: float, sampler: Any, sigmas: Tensor, positive: Any, negative: Any,
    latent_image: Tensor, noise_mask: Tensor | None = None, callback: Any = None, disable_pbar: bool = False,
    seed: int | None = None,
) -> Tensor:  # fmt: skip
    """Run a sampler over noise levels; gives the latent, on the CPU."""
    return samplers.sample(
        model, noise, positive, negative, cfg, model.load_device, sampler, sigmas, model_options=model.model_options,
        latent_image=latent_image, denoise_mask=noise_mask, callback=callback, disable_pbar=disable_pbar, seed=seed,
    )  # fmt: skip
