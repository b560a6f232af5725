"""Sampling by the functions that packs patch."""

from __future__ import annotations

from typing import Any

import torch


def common_ksampler(
    model: Any, seed: int, steps: int, cfg: float, sampler_name: str, scheduler: str, positive: Any, negative: Any,
    latent: dict[str, Any], denoise: float = 1.0, disable_noise: bool = False, start_step: int | None = None,
    last_step: int | None = None, force_full_denoise: bool = False,
) -> tuple[dict[str, Any]]:  # fmt: skip
    """Run a sampler by name; gives the latent in a tuple."""
    from ..shims import latent_preview
    from ..shims.comfy import sample, utils

    samples = sample.fix_empty_latent_channels(model, latent["samples"])
    if disable_noise:
        noise = torch.zeros_like(samples, device="cpu")
    else:
        noise = sample.prepare_noise(samples, seed, latent.get("batch_index"))
    result = sample.sample(
        model, noise, steps, cfg, sampler_name, scheduler, positive, negative, samples, denoise=denoise,
        disable_noise=disable_noise, start_step=start_step, last_step=last_step,
        force_full_denoise=force_full_denoise, noise_mask=latent.get("noise_mask"),
        callback=latent_preview.prepare_callback(model, steps), disable_pbar=not utils.PROGRESS_BAR_ENABLED, seed=seed,
    )  # fmt: skip
    return ({**latent, "samples": result},)


def sample(
    self: object, model: Any, seed: int, steps: int, cfg: float, sampler_name: str, scheduler: str, positive: Any,
    negative: Any, latent_image: dict[str, Any], denoise: float = 1.0,
) -> tuple[dict[str, Any]]:  # fmt: skip
    """The function of ``KSampler``."""
    from ..shims import nodes

    found: tuple[dict[str, Any]] = nodes.common_ksampler(
        model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise
    )
    return found


def sample_advanced(
    self: object, model: Any, add_noise: str, noise_seed: int, steps: int, cfg: float, sampler_name: str,
    scheduler: str, positive: Any, negative: Any, latent_image: dict[str, Any], start_at_step: int, end_at_step: int,
    return_with_leftover_noise: str, denoise: float = 1.0,
) -> tuple[dict[str, Any]]:  # fmt: skip
    """The function of ``KSamplerAdvanced``."""
    from ..shims import nodes

    found: tuple[dict[str, Any]] = nodes.common_ksampler(
        model, noise_seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=denoise,
        disable_noise=add_noise == "disable", start_step=start_at_step, last_step=end_at_step,
        force_full_denoise=return_with_leftover_noise != "enable",
    )  # fmt: skip
    return found
