"""DPM-Solver (Lu et al. 2022, arXiv:2206.00927): exponential integrators of order 1 to 3 in lambda = -log(sigma)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import gaussian_noise
from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, variance_exploding_step
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback, derivative


def dpm_2(
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
    """DPM-Solver-2 in the form of Karras et al. 2022 (arXiv:2206.00364): midpoint in log(sigma)."""
    noise = gaussian_noise(x, seed, skip=1) if s_churn > 0 else None
    for i in range(len(sigmas) - 1):
        sigma = sigmas[i]
        if noise is not None and s_tmin <= float(sigma) <= s_tmax:
            sigma = sigma * (1 + min(s_churn / (len(sigmas) - 1), math.sqrt(2) - 1))
            x = x + noise(sigmas[i], sigma) * s_noise * (sigma**2 - sigmas[i] ** 2) ** 0.5
        denoised = denoise(x, sigma)
        callback(i, denoised, x)
        x = _midpoint_step(denoise, x, sigma, sigmas[i + 1], denoised)
    return x


def _midpoint_step(denoise: Denoiser, x: Tensor, sigma: Tensor, sigma_next: Tensor, denoised: Tensor) -> Tensor:
    d = derivative(x, sigma, denoised)
    if sigma_next > 0:
        middle = sigma.log().lerp(sigma_next.log(), 0.5).exp()
        x_middle = x + d * (middle - sigma)
        d = derivative(x_middle, middle, denoise(x_middle, middle))
    return x + d * (sigma_next - sigma)


def dpm_2_ancestral(
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
    """DPM-Solver-2 steps below the target level, filled up with fresh noise."""
    noise = gaussian_noise(x, seed)
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        callback(i, denoised, x)
        step = path.ancestral_step(sigmas[i], sigmas[i + 1], eta)
        x = _midpoint_step(denoise, x, sigmas[i], step.sigma_down, denoised)
        if sigmas[i + 1] > 0 and eta > 0:
            x = step.scale * x + noise(sigmas[i], sigmas[i + 1]) * s_noise * step.sigma_up
    return x


@dataclass(slots=True)
class _Slopes:
    """Noise predictions along one step from time t = -log(sigma), computed when first asked for."""

    denoise: Denoiser
    x: Tensor
    t: Tensor
    h: Tensor
    known: dict[float, Tensor] = field(default_factory=dict)

    def epsilon(self, x: Tensor, part: float) -> Tensor:
        if part not in self.known:
            sigma = (-(self.t + part * self.h)).exp()
            self.known[part] = derivative(x, sigma, self.denoise(x, sigma))
        return self.known[part]

    def _first(self, part: float) -> Tensor:
        sigma = (-(self.t + part * self.h)).exp()
        return self.x - sigma * (part * self.h).expm1() * self.epsilon(self.x, 0.0)

    def order_1(self) -> Tensor:
        """DDIM."""
        return self._first(1.0)

    def order_2(self, r1: float = 0.5) -> Tensor:
        """Algorithm 4 of the paper."""
        slope = self.epsilon(self._first(r1), r1) - self.epsilon(self.x, 0.0)
        return self._first(1.0) - (-(self.t + self.h)).exp() / (2 * r1) * self.h.expm1() * slope

    def order_3(self, r1: float = 1 / 3, r2: float = 2 / 3) -> Tensor:
        """Algorithm 5 of the paper."""
        start, h2 = self.epsilon(self.x, 0.0), r2 * self.h
        slope = self.epsilon(self._first(r1), r1) - start
        middle = self._first(r2) - (-(self.t + h2)).exp() * (r2 / r1) * (h2.expm1() / h2 - 1) * slope
        slope = self.epsilon(middle, r2) - start
        return self._first(1.0) - (-(self.t + self.h)).exp() / r2 * (self.h.expm1() / self.h - 1) * slope

    def step(self, order: int) -> Tensor:
        return (self.order_1, self.order_2, self.order_3)[order - 1]()


def _time_bounds(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """First and last time; a schedule that ends at 0 is run to the level before."""
    last = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return -sigmas[0].log(), -last.log()


def _ancestral_time(t: Tensor, t_next: Tensor, t_end: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Time to step to, and the noise to add there."""
    if not eta:
        return t_next, torch.zeros_like(t)
    down, _ = variance_exploding_step((-t).exp(), (-t_next).exp(), eta)
    reached = torch.minimum(t_end, -down.log())
    return reached, ((-2 * t_next).exp() - (-2 * reached).exp()).sqrt()


def dpm_fast(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver-fast: as many model calls as the schedule has steps, mostly in steps of order 3 (section 3.4)."""
    if len(sigmas) < 2:
        return x
    noise = gaussian_noise(x, seed)
    t_start, t_end = _time_bounds(sigmas)
    calls = len(sigmas) - 1
    steps = calls // 3 + 1
    orders = [3] * (steps - 2) + [2, 1] if calls % 3 == 0 else [3] * (steps - 1) + [calls % 3]
    times = torch.linspace(float(t_start), float(t_end), steps + 1, device=x.device)
    for i, order in enumerate(orders):
        t, t_next = times[i], times[i + 1]
        reached, up = _ancestral_time(t, t_next, t_end, eta)
        slopes = _Slopes(denoise, x, t, reached - t)
        callback(i, x - (-t).exp() * slopes.epsilon(x, 0.0), x)
        x = slopes.step(order) + up * s_noise * noise((-t).exp(), (-t_next).exp())
    return x


@dataclass(slots=True)
class StepSizeControl:
    """PID control of the step size h by the estimated error (Soederlind 2003), with an arctangent limit."""

    h: float
    pcoeff: float
    icoeff: float
    dcoeff: float
    order: float
    accept_safety: float
    inverse_errors: list[float] = field(default_factory=list)

    def accepts(self, error: float) -> bool:
        """Take note of a step's error, set the next h and say whether the step holds."""
        inverse = 1 / (error + 1e-8)
        if not self.inverse_errors:
            self.inverse_errors = [inverse] * 3
        self.inverse_errors[0] = inverse
        p, i, d = self.pcoeff, self.icoeff, self.dcoeff
        exponents = ((p + i + d) / self.order, -(p + 2 * d) / self.order, d / self.order)
        product = math.prod(e**k for e, k in zip(self.inverse_errors, exponents, strict=True))
        factor = 1 + math.atan(product - 1)
        accepted = factor >= self.accept_safety
        if accepted:
            self.inverse_errors[2], self.inverse_errors[1] = self.inverse_errors[1], self.inverse_errors[0]
        self.h *= factor
        return accepted


def dpm_adaptive(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Tensor:
    """DPM-Solver-12 or -23 with adaptive steps between the first and last level (appendix C)."""
    if len(sigmas) < 2:
        return x
    noise = gaussian_noise(x, seed)
    s, t_end = _time_bounds(sigmas)
    control = StepSizeControl(abs(h_init), pcoeff, icoeff, dcoeff, 1.5 if eta else order, accept_safety)
    x_previous, tried = x, 0
    while s < t_end - 1e-5:
        t = torch.minimum(t_end, s + control.h)
        reached, up = _ancestral_time(s, t, t_end, eta)
        slopes = _Slopes(denoise, x, s, reached - s)
        denoised = x - (-s).exp() * slopes.epsilon(x, 0.0)
        low, high = (slopes.order_1(), slopes.order_2()) if order == 2 else (slopes.order_2(1 / 3), slopes.order_3())
        bound = torch.maximum(torch.full_like(low, atol), rtol * torch.maximum(low.abs(), x_previous.abs()))
        error = float(torch.linalg.norm((low - high) / bound)) / x.numel() ** 0.5
        if control.accepts(error):
            x_previous = low
            x = high + up * s_noise * noise((-s).exp(), (-t).exp())
            s = t
        callback(tried, denoised, x)
        tried += 1
    return x
