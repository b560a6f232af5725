"""SA-Solver (Xue et al. 2023, arXiv:2309.05019): stochastic Adams predictor and corrector."""

from __future__ import annotations

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import gaussian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback


def sa_solver(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    sde_start_percent: float = 0.2,
    sde_end_percent: float = 0.8,
    sde_range: tuple[float, float] | None = None,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
) -> Tensor:
    """Algorithm 1: noise tau = eta is added between two points of the progress, none outside.

    `sde_range` gives the noise levels of these points where they are not those of the path's percentages.

    A schedule that does not end at 0 yields the corrected state of the last level but one: the last prediction has
    no correction. `use_pece` evaluates the model again after each correction; `simple_order_2` takes the midpoint
    weights.
    """
    if len(sigmas) < 2:
        return x
    noise = gaussian_noise(x, seed)
    sde_start, sde_end = sde_range or (path.percent_to_sigma(sde_start_percent), path.percent_to_sigma(sde_end_percent))
    sigmas = path.with_finite_snr(sigmas)
    lambdas = path.half_log_snr(sigmas)
    ends_at_zero, steps = bool(sigmas[-1] == 0), len(sigmas) - 1
    predicted, added, tau = x, torch.zeros_like(x), 0.0
    history: list[Tensor] = []
    for i in range(steps):
        denoised = denoise(predicted, sigmas[i])
        callback(i, denoised, predicted)
        history = [*history, denoised][-max(predictor_order, corrector_order, 1) :]
        p_order, c_order = min(predictor_order, len(history)), min(corrector_order, len(history))
        if i == 0 or (sigmas[i + 1] == 0 and not use_pece):
            c_order = 0
        if ends_at_zero:
            p_order, c_order = min(p_order, steps - 1 - i), min(c_order, steps - i)
        if c_order == 0:
            x = predicted
        else:
            nodes = lambdas[i - c_order + 1 : i + 1]
            weights = _adams_weights(nodes, lambdas[i - 1], lambdas[i], tau, simple=simple_order_2)
            x = _exponential_step(x, sigmas[i - 1], sigmas[i], path, tau, weights, history) + added
            if use_pece:
                denoised = denoise(x, sigmas[i])
                history[-1] = denoised
        if sigmas[i + 1] == 0:
            return denoised
        tau = eta if sde_end <= float(sigmas[i + 1]) <= sde_start else 0.0
        nodes = lambdas[i - p_order + 1 : i + 1]
        weights = _adams_weights(nodes, lambdas[i], lambdas[i + 1], tau, simple=simple_order_2)
        predicted = _exponential_step(x, sigmas[i], sigmas[i + 1], path, tau, weights, history)
        added = torch.zeros_like(x)
        if tau > 0 and s_noise > 0:
            spread = (-(-2 * tau**2 * (lambdas[i + 1] - lambdas[i])).expm1()).sqrt()
            added = noise(sigmas[i], sigmas[i + 1]) * sigmas[i + 1] * spread * s_noise
        predicted = predicted + added
    return x


def sa_solver_pece(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    simple_order_2: bool = False,
) -> Tensor:
    """SA-Solver in the predict, evaluate, correct, evaluate form."""
    return sa_solver(
        denoise, x, sigmas, path, seed, callback, eta=eta, s_noise=s_noise, use_pece=True,
        predictor_order=predictor_order, corrector_order=corrector_order, simple_order_2=simple_order_2,
    )  # fmt: skip


def _exponential_step(
    x: Tensor,
    sigma: Tensor,
    sigma_next: Tensor,
    path: NoisePath,
    tau: float,
    weights: list[float],
    history: list[Tensor],
) -> Tensor:
    h = path.half_log_snr(sigma_next) - path.half_log_snr(sigma)
    result = sigma_next / sigma * (-(tau**2) * h).exp() * x
    alpha = path.alpha(sigma_next)
    for weight, prediction in zip(weights, history[-len(weights) :], strict=True):
        result = result + alpha * weight * prediction
    return result


def _adams_weights(nodes: Tensor, start: Tensor, end: Tensor, tau: float, *, simple: bool) -> list[float]:
    """Weights of the predictions at `nodes` (oldest first): exponentially weighted integrals of Lagrange polynomials.

    The moments of (1 + tau^2) exp((1 + tau^2) (lambda - end)) over start..end are exact.
    """
    rate, h = 1 + tau**2, float(end) - float(start)
    shifted = nodes.double() - float(end)
    powers = torch.tensor([-h], dtype=torch.float64)
    moments = [float(-torch.expm1(rate * powers))]
    if simple and len(nodes) == 2:
        spacing = float(nodes[1] - nodes[0])
        corrector = float(nodes[-1]) == float(end)
        newest = 0.5 * rate * h if corrector else moments[0] + 0.5 * rate * h**2 / spacing
        return [moments[0] - newest, newest]
    for k in range(1, len(nodes)):
        boundary = (-h) ** k * float(torch.exp(rate * powers))
        moments.append(-boundary - k / rate * moments[-1])
    system = torch.stack([shifted**k for k in range(len(nodes))])
    return [float(w) for w in torch.linalg.solve(system, torch.tensor(moments, dtype=torch.float64))]
