"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095): exponential integrators on the clean prediction."""

from __future__ import annotations

from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import gaussian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, variance_exploding_step
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback, derivative

# Stands for the middle of a step that starts at pure noise, where log-SNR is infinite.
NEARLY_PURE_NOISE = 0.9999


def _middle(path: NoisePath, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """Level halfway in log-SNR."""
    middle = path.sigma_at(path.half_log_snr(sigma).lerp(path.half_log_snr(sigma_next), 0.5))
    return middle if path.half_log_snr(sigma).isfinite() else middle.new_tensor(NEARLY_PURE_NOISE)


def dpmpp_2s_ancestral(
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
    """DPM-Solver++(2S), algorithm 1, with ancestral noise."""
    noise = gaussian_noise(x, seed)
    for i in range(len(sigmas) - 1):
        sigma = sigmas[i]
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        step = path.ancestral_step(sigma, sigmas[i + 1], eta)
        if step.sigma_down == 0:
            x = denoised
            continue
        middle = _middle(path, sigma, step.sigma_down)
        x_middle = middle / sigma * x + (1 - middle / sigma) * denoised
        ratio = step.sigma_down / sigma
        x = ratio * x + (1 - ratio) * denoise(x_middle, middle)
        if eta > 0:
            x = step.scale * x + noise(sigma, sigmas[i + 1]) * s_noise * step.sigma_up
    return x


def dpmpp_2s_ancestral_cfg_pp(
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
    """DPM-Solver++(2S) with ancestral noise and CFG++ (arXiv:2406.08070)."""
    noise = gaussian_noise(x, seed)
    for i in range(len(sigmas) - 1):
        sigma = sigmas[i]
        denoised, uncond = denoise.guided(x, sigma)
        callback(i, denoised, x)
        down, up = variance_exploding_step(sigma, sigmas[i + 1], eta)
        if down == 0:
            x = denoised + derivative(x, sigma, uncond) * down
            continue
        ratio_middle = (down / sigma).sqrt()
        middle = sigma * ratio_middle
        x_middle = ratio_middle * (x + denoised - uncond) + (1 - ratio_middle) * denoised
        second, uncond = denoise.guided(x_middle, middle)
        ratio = down / sigma
        x = ratio * (x + denoised - uncond) + (1 - ratio) * second
        if sigmas[i + 1] > 0:
            x = x + noise(sigma, sigmas[i + 1]) * s_noise * up
    return x


def dpmpp_2m(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
) -> Tensor:
    """DPM-Solver++(2M), algorithm 2."""
    previous: Tensor | None = None
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        h = (sigmas[i] / sigmas[i + 1]).log()
        target = denoised
        if previous is not None and sigmas[i + 1] > 0:
            r = (sigmas[i - 1] / sigmas[i]).log() / h
            target = denoised + (denoised - previous) / (2 * r)
        x = sigmas[i + 1] / sigmas[i] * x - (-h).expm1() * target
        previous = denoised
    return x


def dpmpp_2m_cfg_pp(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
) -> Tensor:
    """DPM-Solver++(2M) with CFG++ (arXiv:2406.08070)."""
    previous: Tensor | None = None
    for i in range(len(sigmas) - 1):
        denoised, uncond = denoise.guided(x, sigmas[i])
        callback(i, denoised, x)
        h = (sigmas[i] / sigmas[i + 1]).log()
        extrapolated = 0.0 * denoised
        if previous is not None and sigmas[i + 1] > 0:
            r = (sigmas[i - 1] / sigmas[i]).log() / h
            extrapolated = (denoised - previous) / (2 * r)
        x = denoised + (-h).exp() * (x - uncond)
        x = x - (-h).expm1() * extrapolated
        previous = uncond
    return x
