"""Samplers that correct a first-order step by the previous one: RES multistep and gradient estimation."""

from __future__ import annotations

from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import gaussian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, variance_exploding_step
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback, derivative


def _predictions(denoise: Denoiser, x: Tensor, sigma: Tensor, *, cfg_pp: bool) -> tuple[Tensor, Tensor]:
    """The guided prediction, and the one that noise is estimated from."""
    if cfg_pp:
        return denoise.guided(x, sigma)
    denoised = denoise(x, sigma)
    return denoised, denoised


def res_multistep_ancestral(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    cfg_pp: bool = False,
) -> Tensor:
    """Refined exponential solver, second-order multistep (Zhang et al. 2023, arXiv:2308.02157, section 4)."""
    noise = gaussian_noise(x, seed)
    previous: Tensor | None = None
    down_previous = sigmas[0]
    for i in range(len(sigmas) - 1):
        sigma = sigmas[i]
        denoised, base = _predictions(denoise, x, sigma, cfg_pp=cfg_pp)
        callback(i, denoised, x)
        down, up = variance_exploding_step(sigma, sigmas[i + 1], eta)
        if down == 0 or previous is None:
            x = denoised + derivative(x, sigma, base) * down
        else:
            h = (sigma / down).log()
            c2 = (down_previous / sigmas[i - 1]).log() / h
            phi_1 = (-h).expm1() / -h
            phi_2 = (phi_1 - 1) / -h
            b2 = (phi_2 / c2).nan_to_num(nan=0.0)
            b1 = (phi_1 - phi_2 / c2).nan_to_num(nan=0.0)
            x = (-h).exp() * (x + denoised - base) + h * (b1 * base + b2 * previous)
        if sigmas[i + 1] > 0 and eta > 0:
            x = x + noise(sigma, sigmas[i + 1]) * s_noise * up
        previous, down_previous = base, down
    return x


def res_multistep(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
) -> Tensor:
    """RES multistep without fresh noise."""
    return res_multistep_ancestral(denoise, x, sigmas, path, seed, callback, eta=0.0)


def res_multistep_cfg_pp(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
) -> Tensor:
    """RES multistep without fresh noise, with CFG++."""
    return res_multistep_ancestral(denoise, x, sigmas, path, seed, callback, eta=0.0, cfg_pp=True)


def res_multistep_ancestral_cfg_pp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
) -> Tensor:
    """RES multistep with fresh noise and CFG++."""
    options = {"eta": eta, "s_noise": s_noise}
    return res_multistep_ancestral(denoise, x, sigmas, path, seed, callback, cfg_pp=True, **options)


def gradient_estimation(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    ge_gamma: float = 2.0,
    cfg_pp: bool = False,
) -> Tensor:
    """Gradient estimation (Permenter and Yuan 2023, arXiv:2306.04848, algorithm 2)."""
    previous: Tensor | None = None
    for i in range(len(sigmas) - 1):
        denoised, base = _predictions(denoise, x, sigmas[i], cfg_pp=cfg_pp)
        callback(i, denoised, x)
        d = derivative(x, sigmas[i], base)
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        x = denoised + d * sigmas[i + 1]
        if previous is not None:
            x = x + (ge_gamma - 1) * (d - previous) * (sigmas[i + 1] - sigmas[i])
        previous = d
    return x


def gradient_estimation_cfg_pp(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    ge_gamma: float = 2.0,
) -> Tensor:
    """Gradient estimation with CFG++."""
    return gradient_estimation(denoise, x, sigmas, path, seed, callback, ge_gamma=ge_gamma, cfg_pp=True)
