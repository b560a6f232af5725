"""Consistency sampling: to the clean prediction and back to the next noise level."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import gaussian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback

# Brings a latent [batch, channel, height, width] to a width and a height.
Resize = Callable[[Tensor, int, int], Tensor]


def lcm(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    s_noise: float = 1.0,
    s_noise_end: float | None = None,
    noise_clip: float = 0.0,
) -> Tensor:
    """Multistep consistency sampling (Luo et al. 2023, arXiv:2310.04378, algorithm 3).

    The amount of noise goes in a line from `s_noise` at the first step to `s_noise_end` at the last; `noise_clip`
    bounds it to so many standard deviations, 0 does not.
    """
    noise = gaussian_noise(x, seed)
    last = s_noise if s_noise_end is None else s_noise_end
    steps = len(sigmas) - 1
    for i in range(steps):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        x = denoised
        if sigmas[i + 1] > 0:
            fresh = noise(sigmas[i], sigmas[i + 1])
            if noise_clip > 0:
                bound = noise_clip * float(fresh.std())
                fresh = fresh.clamp(-bound, bound)
            x = path.add_noise(
                x, fresh * torch.lerp(torch.tensor(s_noise), torch.tensor(last), i / max(steps - 1, 1)), sigmas[i + 1]
            )
    return x


def lcm_upscale(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    resize: Resize,
    scale: float = 1.0,
    scale_steps: int | None = None,
) -> Tensor:
    """Consistency sampling that brings the clean prediction to a larger size after each of the first steps.

    The sizes go in a line up to `scale` times the latent's; without `scale_steps` half of the steps reach it. Noise is
    added as to a variance-exploding model, whatever the model.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    # The run's start noise came from the same seed; the draws here follow it.
    torch.randn(x.shape, generator=generator)
    steps = len(sigmas) - 1
    count = max(len(sigmas) // 2, 1) if scale_steps is None else min(scale_steps, len(sigmas))
    height, width = x.shape[-2:]
    for i in range(steps):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        x = denoised
        if i < count:
            factor = 1.0 + (scale - 1.0) * (i + 1) / count
            x = resize(x, round(width * factor), round(height * factor))
        if sigmas[i + 1] > 0:
            x = x + sigmas[i + 1] * torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    return x
