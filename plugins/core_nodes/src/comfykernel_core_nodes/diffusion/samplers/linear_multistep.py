"""Linear multistep methods on the probability flow ODE: polynomials through the last slopes, integrated exactly."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise_paths import NoisePath
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback, derivative

# Points of the Riemann sum that integrates the DEIS polynomials.
DEIS_POINTS = 10_000
# Noise range and first time of the variance-preserving process that DEIS integrates over (Karras et al. 2022).
DEIS_SIGMA_MIN, DEIS_SIGMA_MAX, DEIS_FIRST_TIME = 0.002, 80.0, 1e-3


def _combined(weights: list[float] | tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """Weighted sum, newest slope first."""
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=True):
        total = total + weight * slope
    return total


def _adams_weights(times: list[float], end: float) -> list[float]:
    """Integrals from times[0] to `end` of the Lagrange polynomials on `times` (newest first)."""
    start = times[0]
    nodes = [(t - start) / (end - start) for t in times]
    weights = []
    for j, node in enumerate(nodes):
        others = nodes[:j] + nodes[j + 1 :]
        polynomial = np.polynomial.Polynomial.fromroots(others) if others else np.polynomial.Polynomial([1.0])
        scale = math.prod(node - other for other in others)
        weights.append(float(polynomial.integ()(1.0)) / scale * (end - start))
    return weights


def lms(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    order: int = 4,
) -> Tensor:
    """Adams-Bashforth on uneven steps."""
    levels = [float(s) for s in sigmas]
    slopes: list[Tensor] = []
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        slopes = [derivative(x, sigmas[i], denoised), *slopes[: order - 1]]
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        used = levels[i::-1][: len(slopes)]
        x = x + _combined(_adams_weights(used, levels[i + 1]), slopes)
    return x


# Adams-Bashforth weights on even steps, newest slope first.
_EVEN_WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def ipndm(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    max_order: int = 4,
) -> Tensor:
    """Improved pseudo numerical methods (Zhang and Chen 2022, arXiv:2204.13902): weights of even steps."""
    slopes: list[Tensor] = []
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        slopes = [derivative(x, sigmas[i], denoised), *slopes[: max_order - 1]]
        if sigmas[i + 1] == 0:
            x = denoised
        else:
            x = x + (sigmas[i + 1] - sigmas[i]) * _combined(_EVEN_WEIGHTS[len(slopes) - 1], slopes)
    return x


def ipndm_v(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    max_order: int = 4,
) -> Tensor:
    """The same with weights for uneven steps."""
    levels = [float(s) for s in sigmas]
    slopes: list[Tensor] = []
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        slopes = [derivative(x, sigmas[i], denoised), *slopes[: max_order - 1]]
        if sigmas[i + 1] == 0:
            x = denoised
            continue
        widths = [levels[i + 1] - levels[i]]
        widths += [levels[k] - levels[k - 1] for k in range(i, i - len(slopes) + 1, -1)]
        x = x + widths[0] * _combined(_uneven_weights(widths), slopes)
    return x


def _uneven_weights(widths: list[float]) -> list[float]:
    """Weights of up to four slopes for step widths h, h1, h2, h3 (newest first), as DEIS's reference code has them.

    The third-order term follows that code, which divides where exact Adams-Bashforth would multiply.
    """
    if len(widths) == 1:
        return [1.0]
    h, h1 = widths[:2]
    linear = h / h1 / 2
    if len(widths) == 2:
        return [1 + linear, -linear]
    h2 = widths[2]
    square = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
    weights = [1 + linear + square, -linear - (1 + h1 / h2) * square, square * h1 / h2]
    if len(widths) == 3:
        return weights
    h3 = widths[3]
    part = (1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))
    cube = part * (h * (h + h1) * (h + h1 + h2)) / (h1 * (h1 + h2) * (h1 + h2 + h3))
    ratio = h1 * (h1 + h2) / (h2 * (h2 + h3))
    return [
        weights[0] + cube,
        weights[1] - (1 + h1 / h2 + ratio) * cube,
        weights[2] + (h1 / h2 + ratio * (1 + h2 / h3)) * cube,
        -cube * ratio * h1 / h2,
    ]


def deis(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    max_order: int = 3,
    deis_mode: str = "tab",
) -> Tensor:
    """Diffusion exponential integrator sampler (Zhang and Chen 2022, arXiv:2204.13902).

    `deis_mode` is "tab" for polynomials in time or "rhoab" for polynomials in rho, which is sigma here.
    """
    levels = [float(s) for s in sigmas]
    time_weights = _deis_weights(sigmas.double().cpu(), max_order) if deis_mode == "tab" else []
    slopes: list[Tensor] = []
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        slopes = [derivative(x, sigmas[i], denoised), *slopes[: max_order - 1]]
        if len(slopes) == 1 or sigmas[i + 1] <= 0:
            x = x + (sigmas[i + 1] - sigmas[i]) * slopes[0]
        else:
            used = levels[i::-1][: len(slopes)]
            x = x + _combined(time_weights[i] if time_weights else _adams_weights(used, levels[i + 1]), slopes)
    return x


def _deis_weights(sigmas: Tensor, max_order: int) -> list[list[float]]:
    """Integrals of the Lagrange polynomials in the time of a linear variance-preserving process, per step."""
    log_low, log_high = math.log(DEIS_SIGMA_MIN**2 + 1), math.log(DEIS_SIGMA_MAX**2 + 1)
    slope = 2 * (log_low / DEIS_FIRST_TIME - log_high) / (DEIS_FIRST_TIME - 1)
    start = log_high - 0.5 * slope
    times = ((start**2 + 2 * slope * (sigmas**2 + 1).log()).sqrt() - start) / slope
    weights = []
    for i in range(len(times) - 1):
        nodes = [times[i - k] for k in range(min(i + 1, max_order))]
        grid = torch.linspace(float(times[i]), float(times[i + 1]), DEIS_POINTS, dtype=torch.float64)
        alpha = (-0.5 * grid**2 * slope - grid * start).exp()
        speed = 0.5 * (grid * slope + start) / (alpha * (1 - alpha)).sqrt()
        width = float(times[i + 1] - times[i]) / DEIS_POINTS
        weights.append([float((speed * _lagrange(nodes, j, grid)).sum()) * width for j in range(len(nodes))])
    return weights


def _lagrange(nodes: list[Tensor], j: int, at: Tensor) -> Tensor:
    value = torch.ones_like(at)
    for k, node in enumerate(nodes):
        if k != j:
            value = value * (at - node) / (nodes[j] - node)
    return value
