"""Solvers of the reverse diffusion SDE with the DPM-Solver++ integrators (Lu et al. 2022, arXiv:2211.01095)."""

from __future__ import annotations

from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import brownian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, variance_exploding_step
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback


def dpmpp_sde(
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
    """DPM-Solver++ (stochastic), second order with a step in between at the part r."""
    if len(sigmas) < 2:
        return x
    noise = brownian_noise(x, sigmas, seed)
    sigmas = path.with_finite_snr(sigmas)
    for i in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        if sigma_next == 0:
            x = denoised
            continue
        between = path.sigma_at(path.half_log_snr(sigma).lerp(path.half_log_snr(sigma_next), r))
        x_between = _ancestral_exponential_step(x, denoised, sigma, between, path, eta)
        if eta > 0 and s_noise > 0:
            up = _ancestral_noise(sigma, between, path, eta)
            x_between = x_between + noise(sigma, between) * s_noise * up
        blend = denoised.lerp(denoise(x_between, between), 1 / (2 * r))
        x = _ancestral_exponential_step(x, blend, sigma, sigma_next, path, eta)
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, sigma_next) * s_noise * _ancestral_noise(sigma, sigma_next, path, eta)
    return x


def _ancestral_exponential_step(
    x: Tensor, denoised: Tensor, sigma: Tensor, sigma_next: Tensor, path: NoisePath, eta: float
) -> Tensor:
    alpha, alpha_next = path.alpha(sigma), path.alpha(sigma_next)
    down, _ = variance_exploding_step(sigma / alpha, sigma_next / alpha_next, eta)
    ratio = down / (sigma / alpha)
    return alpha_next * (ratio * x / alpha + (1 - ratio) * denoised)


def _ancestral_noise(sigma: Tensor, sigma_next: Tensor, path: NoisePath, eta: float) -> Tensor:
    alpha_next = path.alpha(sigma_next)
    _, up = variance_exploding_step(sigma / path.alpha(sigma), sigma_next / alpha_next, eta)
    return alpha_next * up


def dpmpp_2m_sde(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: str = "midpoint",
) -> Tensor:
    """DPM-Solver++(2M) SDE; `solver_type` is "midpoint" or "heun"."""
    if len(sigmas) < 2:
        return x
    noise = brownian_noise(x, sigmas, seed)
    sigmas = path.with_finite_snr(sigmas)
    previous: Tensor | None = None
    h_previous = sigmas[0]
    for i in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        if sigma_next == 0:
            x = denoised
            continue
        h = path.half_log_snr(sigma_next) - path.half_log_snr(sigma)
        decay, alpha = -h * (eta + 1), path.alpha(sigma_next)
        x = sigma_next / sigma * (-h * eta).exp() * x - alpha * decay.expm1() * denoised
        if previous is not None:
            slope = (denoised - previous) * h / h_previous
            weight = decay.expm1() / -decay + 1 if solver_type == "heun" else -0.5 * decay.expm1()
            x = x + alpha * weight * slope
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, sigma_next) * sigma_next * (-(-2 * h * eta).expm1()).sqrt() * s_noise
        previous, h_previous = denoised, h
    return x


def dpmpp_2m_sde_heun(
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
    """DPM-Solver++(2M) SDE with Heun's second-order term."""
    return dpmpp_2m_sde(denoise, x, sigmas, path, seed, callback, eta=eta, s_noise=s_noise, solver_type="heun")


def dpmpp_3m_sde(
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
    """DPM-Solver++(3M) SDE."""
    if len(sigmas) < 2:
        return x
    noise = brownian_noise(x, sigmas, seed)
    sigmas = path.with_finite_snr(sigmas)
    clean: list[Tensor] = []
    widths: list[Tensor] = []
    for i in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        if sigma_next == 0:
            x = denoised
            continue
        h = path.half_log_snr(sigma_next) - path.half_log_snr(sigma)
        h_eta, alpha = h * (eta + 1), path.alpha(sigma_next)
        x = sigma_next / sigma * (-h * eta).exp() * x - alpha * (-h_eta).expm1() * denoised
        x = x + alpha * _multistep_terms(denoised, clean, h, widths, h_eta)
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, sigma_next) * sigma_next * (-(-2 * h * eta).expm1()).sqrt() * s_noise
        clean, widths = [denoised, *clean[:1]], [h, *widths[:1]]
    return x


def _multistep_terms(denoised: Tensor, clean: list[Tensor], h: Tensor, widths: list[Tensor], h_eta: Tensor) -> Tensor:
    """Second and third order terms from the last one or two predictions (newest first)."""
    if not clean:
        return denoised * 0.0
    phi_2 = (-h_eta).expm1() / h_eta + 1
    r0 = widths[0] / h
    slope = (denoised - clean[0]) / r0
    if len(clean) == 1:
        return phi_2 * slope
    r1 = widths[1] / h
    curvature = (slope - (clean[0] - clean[1]) / r1) / (r0 + r1)
    return phi_2 * (slope + curvature * r0) - (phi_2 / h_eta - 0.5) * curvature
