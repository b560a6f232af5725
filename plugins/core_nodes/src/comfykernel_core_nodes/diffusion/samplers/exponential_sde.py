"""SDE solvers with exact linear parts: ER-SDE and the single-step SEEDS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import NoiseSampler, gaussian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback

# Tells from exp(-lambda) how fast noise is renewed.
NoiseScale = Callable[[Tensor], Tensor]

# Points of the Riemann sums over the noise scale function.
ER_SDE_POINTS = 200


def er_sde_noise_scale(x: Tensor) -> Tensor:
    """The noise scale function phi(x) = x (exp(x^0.3) + 10) that the paper recommends."""
    return x * ((x**0.3).exp() + 10.0)


# The functions of the three solvers, for an amount of noise eta.
NOISE_SCALES: Final[dict[str, Callable[[float], NoiseScale]]] = {
    "ER-SDE": lambda eta: er_sde_noise_scale,
    "Reverse-time SDE": lambda eta: lambda x: x ** (eta + 1),
    "ODE": lambda eta: lambda x: x,
}


def er_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    s_noise: float = 1.0,
    noise_scale: NoiseScale = er_sde_noise_scale,
    max_stage: int = 3,
) -> Tensor:
    """Extended reverse-time SDE solver (Cui et al. 2023, arXiv:2309.06169), order 1 to 3."""
    noise = gaussian_noise(x, seed)
    sigmas = path.with_finite_snr(sigmas)
    lambdas = (-path.half_log_snr(sigmas)).exp()
    previous = previous_slope = x
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        start, end = lambdas[i], lambdas[i + 1]
        alpha, alpha_next = path.alpha(sigmas[i]), path.alpha(sigmas[i + 1])
        r = noise_scale(end) / noise_scale(start)
        x = alpha_next / alpha * r * x + alpha_next * (1 - r) * denoised
        if (stage := min(max_stage, i + 1)) >= 2:
            first, second = _scale_integrals(start, end, noise_scale)
            slope = (denoised - previous) / (start - lambdas[i - 1])
            x = x + alpha_next * first * slope
            if stage >= 3:
                x = x + alpha_next * second * (slope - previous_slope) / ((start - lambdas[i - 2]) / 2)
            previous_slope = slope
        if s_noise > 0:
            spread = (end**2 - start**2 * r**2).sqrt().nan_to_num(nan=0.0)
            x = x + alpha_next * noise(sigmas[i], sigmas[i + 1]) * s_noise * spread
        previous = denoised
    return x


def _scale_integrals(start: Tensor, end: Tensor, noise_scale: NoiseScale) -> tuple[Tensor, Tensor]:
    """Weights of the first and second derivative of the prediction."""
    width = end - start
    step = -width / ER_SDE_POINTS
    positions = end + torch.arange(ER_SDE_POINTS, dtype=torch.float32, device=end.device) * step
    scaled = noise_scale(positions)
    first = (1 / scaled).sum() * step
    second = ((positions - start) / scaled).sum() * step
    return width + first * noise_scale(end), width**2 / 2 + second * noise_scale(end)


def seeds_2(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r: float = 0.5,
) -> Tensor:
    """SEEDS-2 (Gonzalez et al. 2023, arXiv:2305.14267), on the clean prediction."""
    return _seeds(denoise, x, sigmas, path, seed, callback, eta=eta, s_noise=s_noise, parts=(r,))


def seeds_3(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    r_1: float = 1 / 3,
    r_2: float = 2 / 3,
) -> Tensor:
    """SEEDS-3 (Gonzalez et al. 2023, arXiv:2305.14267), on the clean prediction."""
    return _seeds(denoise, x, sigmas, path, seed, callback, eta=eta, s_noise=s_noise, parts=(r_1, r_2))


def _seeds(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float,
    s_noise: float,
    parts: tuple[float, ...],
) -> Tensor:
    noise = gaussian_noise(x, seed)
    sigmas = path.with_finite_snr(sigmas)
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        start = path.half_log_snr(sigmas[i])
        h = path.half_log_snr(sigmas[i + 1]) - start
        levels = [path.sigma_at(start + part * h) for part in parts] + [sigmas[i + 1]]
        added = [torch.zeros_like(x)] * len(levels)
        if eta > 0 and s_noise > 0:
            added = _accumulated_noise([sigmas[i], *levels], (0.0, *parts, 1.0), h * eta, noise)
        state, slope = x, denoised * 0.0
        for k, (part, level) in enumerate(zip((*parts, 1.0), levels, strict=True)):
            decay, alpha = -part * h * (eta + 1), path.alpha(level)
            state = level / sigmas[i] * (-part * h * eta).exp() * x - alpha * decay.expm1() * denoised
            if k > 0:
                weight = -0.5 * decay.expm1() if len(parts) == 1 else part * (1 - decay.expm1() / decay)
                state = state + alpha * weight * slope
            state = state + level * added[k] * s_noise
            if k < len(parts):
                slope = (denoise(state, level) - denoised) / part
        x = state
    return x


def _accumulated_noise(
    levels: list[Tensor], parts: tuple[float, ...], h_eta: Tensor, noise: NoiseSampler
) -> list[Tensor]:
    """Noise at each level of a step: what earlier levels left of theirs, and a fresh share."""
    total: Tensor | None = None
    result = []
    for k in range(1, len(levels)):
        width = (parts[k] - parts[k - 1]) * h_eta
        fresh = (-(-2 * width).expm1()).sqrt() * noise(levels[k - 1], levels[k])
        total = fresh if total is None else (-width).exp() * total + fresh
        result.append(total)
    return result
