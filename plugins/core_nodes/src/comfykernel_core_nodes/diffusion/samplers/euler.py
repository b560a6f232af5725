"""Euler and Heun steps on the probability flow ODE, with and without fresh noise."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import NoiseSampler, gaussian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, variance_exploding_step
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback, derivative


def _churned(
    x: Tensor, sigma: Tensor, amount: float, s_noise: float, noise: NoiseSampler | Tensor | None
) -> tuple[Tensor, Tensor]:
    """Raise the noise level by a part `amount` (Karras et al. 2022, algorithm 2, lines 4 to 6)."""
    if noise is None or amount <= 0:
        return x, sigma
    raised = sigma * (amount + 1)
    fresh = noise if isinstance(noise, Tensor) else noise(sigma, raised)
    return x + fresh * s_noise * (raised**2 - sigma**2) ** 0.5, raised


def _churn_amount(sigmas: Tensor, i: int, s_churn: float, s_tmin: float, s_tmax: float) -> float:
    inside = s_tmin <= float(sigmas[i]) <= s_tmax
    return min(s_churn / (len(sigmas) - 1), math.sqrt(2) - 1) if inside else 0.0


def euler(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Tensor:
    """Algorithm 2 of Karras et al. 2022 (arXiv:2206.00364) without the correction; DDIM when s_churn is 0."""
    noise = gaussian_noise(x, seed, skip=1) if s_churn > 0 else None
    for i in range(len(sigmas) - 1):
        amount = _churn_amount(sigmas, i, s_churn, s_tmin, s_tmax)
        x, sigma = _churned(x, sigmas[i], amount, s_noise, noise)
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        x = x + derivative(x, sigma, denoised) * (sigmas[i + 1] - sigma)
    return x


def euler_ancestral(
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
    """Euler steps below the target level, filled up with fresh noise."""
    noise = gaussian_noise(x, seed)
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        step = path.ancestral_step(sigmas[i], sigmas[i + 1], eta)
        ratio = step.sigma_down / sigmas[i]
        x = ratio * x + (1 - ratio) * denoised
        if eta > 0:
            x = step.scale * x + noise(sigmas[i], sigmas[i + 1]) * s_noise * step.sigma_up
    return x


def euler_ancestral_cfg_pp(
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
    """CFG++ (Chung et al. 2024, arXiv:2406.08070): the noise is estimated from the negative prediction."""
    noise = gaussian_noise(x, seed)
    for i in range(len(sigmas) - 1):
        denoised, uncond = denoise.guided(x, sigmas[i])
        callback(i, denoised, x)
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        alpha, alpha_next = path.alpha(sigmas[i]), path.alpha(sigmas[i + 1])
        down, up = variance_exploding_step(sigmas[i] / alpha, sigmas[i + 1] / alpha_next, eta)
        x = alpha_next * (denoised + down * derivative(x, sigmas[i], alpha * uncond))
        if eta > 0 and s_noise > 0:
            x = x + alpha_next * noise(sigmas[i], sigmas[i + 1]) * s_noise * up
    return x


def euler_cfg_pp(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
) -> Tensor:
    """Deterministic CFG++."""
    return euler_ancestral_cfg_pp(denoise, x, sigmas, path, seed, callback, eta=0.0, s_noise=0.0)


def heun(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Tensor:
    """Algorithm 2 of Karras et al. 2022 (arXiv:2206.00364): Heun's second-order method."""
    noise = gaussian_noise(x, seed, skip=1) if s_churn > 0 else None
    for i in range(len(sigmas) - 1):
        amount = _churn_amount(sigmas, i, s_churn, s_tmin, s_tmax)
        x, sigma = _churned(x, sigmas[i], amount, s_noise, noise)
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        d, dt = derivative(x, sigma, denoised), sigmas[i + 1] - sigma
        if sigmas[i + 1] > 0:
            x_next = x + d * dt
            d = (d + derivative(x_next, sigmas[i + 1], denoise(x_next, sigmas[i + 1]))) / 2
        x = x + d * dt
    return x


def heunpp2(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Tensor:
    """Heun's method over up to three levels, each slope weighted by its level (Simon and Zhang 2023, PFDiff)."""
    noise = gaussian_noise(x, seed, skip=1) if s_churn > 0 else None
    for i in range(len(sigmas) - 1):
        # The noise of a level is drawn even when it is not used, so that a level's noise does not depend on s_tmin.
        drawn = noise(sigmas[i], sigmas[i]) if noise else None
        amount = _churn_amount(sigmas, i, s_churn, s_tmin, s_tmax)
        x, sigma = _churned(x, sigmas[i], amount, s_noise, drawn)
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        slopes, position = [derivative(x, sigma, denoised)], x
        levels = [sigma, *(s for s in sigmas[i + 1 : i + 3] if s != sigmas[-1])]
        for here, there in pairwise(levels):
            position = position + slopes[-1] * (there - here)
            slopes.append(derivative(position, there, denoise(position, there)))
        weights = [float(s) / (len(levels) * float(sigmas[0])) for s in levels[1:]]
        slope = slopes[0] * (1 - sum(weights))
        for weight, other in zip(weights, slopes[1:], strict=True):
            slope = slope + weight * other
        x = x + slope * (sigmas[i + 1] - sigma)
    return x


def ddpm(denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback) -> Tensor:
    """Ancestral sampling of denoising diffusion models (Ho et al. 2020, arXiv:2006.11239, algorithm 2)."""
    noise = gaussian_noise(x, seed)
    for i in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        kept, kept_next = 1 / (sigma**2 + 1), 1 / (sigma_next**2 + 1)
        alpha = kept / kept_next
        epsilon = derivative(x, sigma, denoised)
        mean = (x * kept.sqrt() - (1 - alpha) * epsilon / (1 - kept).sqrt()) / alpha.sqrt()
        if sigma_next > 0:
            spread = ((1 - alpha) * (1 - kept_next) / (1 - kept)).sqrt()
            mean = (mean + spread * noise(sigma, sigma_next)) / kept_next.sqrt()
        x = mean
    return x


def euler_pp(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
) -> Tensor:
    """CFG++ in another reading: noise is estimated with the negative prediction in the place of the guided one."""
    for i in range(len(sigmas) - 1):
        denoised, uncond = denoise.guided(x, sigmas[i])
        callback(i, denoised, x)
        d = derivative(x - denoised + uncond, sigmas[i], denoised)
        x = x + d * (sigmas[i + 1] - sigmas[i])
    return x


def ddim(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
) -> Tensor:
    """DDIM (Song et al. 2020, arXiv:2010.02502) without fresh noise, which is `euler`.

    A run keeps what is outside of its mask at noise of its own: see `keeps_fresh_noise`.
    """
    options = {"s_churn": s_churn, "s_tmin": s_tmin, "s_tmax": s_tmax, "s_noise": s_noise}
    return euler(denoise, x, sigmas, path, seed, callback, **options)
