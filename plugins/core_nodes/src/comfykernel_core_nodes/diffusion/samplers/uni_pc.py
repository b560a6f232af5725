"""UniPC (Zhao et al. 2023, arXiv:2302.04867): unified predictor-corrector, multistep, on the clean prediction."""

from __future__ import annotations

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise_paths import NoisePath
from comfykernel_core_nodes.diffusion.samplers.contract import Denoiser, StepCallback

# Stands for sigma 0, where the log-SNR is infinite.
LAST_SIGMA = 0.001
MAX_ORDER = 3


def uni_pc(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    path: NoisePath,
    seed: int,
    callback: StepCallback,
    *,
    variant: str = "bh1",
) -> Tensor:
    """UniPC of order 3, lowered at both ends; `variant` is the choice of B(h), "bh1" (h) or "bh2" (e^h - 1)."""
    if len(sigmas) == 2:
        return _single_step(denoise, x, sigmas, path, callback)
    sigmas = sigmas.clone()
    ends_at_zero = bool(sigmas[-1] == 0)
    if ends_at_zero:
        sigmas[-1] = LAST_SIGMA
    steps = len(sigmas) - 1
    order = min(MAX_ORDER, steps - 1)
    last = sigmas[-1]
    sigmas, lambdas = _variance_preserving(sigmas)
    predictions = [denoise(x, sigmas[0])]
    for i in range(1, steps + 1):
        callback(i - 1, predictions[-1], x)
        used = min(order, i, steps + 1 - i)
        update = _Update(lambdas[i - used : i + 1], predictions[-used:], variant)
        base = update.first_order(x, sigmas[i - 1], sigmas[i])
        x = update.predicted(base)
        if i < steps:
            prediction = denoise(x, sigmas[i])
            x = update.corrected(base, prediction)
            predictions = [*predictions, prediction][-MAX_ORDER:]
    return path.remove_scale(x, last) if ends_at_zero else x


def uni_pc_bh2(
    denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, seed: int, callback: StepCallback
) -> Tensor:
    """UniPC with B(h) = e^h - 1."""
    return uni_pc(denoise, x, sigmas, path, seed, callback, variant="bh2")


def _single_step(denoise: Denoiser, x: Tensor, sigmas: Tensor, path: NoisePath, callback: StepCallback) -> Tensor:
    """One step is too few for the method: the noisy latent comes back, scaled to unit variance."""
    callback(0, denoise(x, sigmas[0]), x)
    x = x / (1 + sigmas[0] ** 2).sqrt()
    return path.remove_scale(x, torch.full_like(sigmas[0], LAST_SIGMA)) if sigmas[1] == 0 else x


def _variance_preserving(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """Levels and lambdas as the variance-preserving process has them in single precision.

    1 + sigma^2 rounds at small levels (by 5 % of sigma^2 at 0.001); published results contain that rounding.
    """
    log_alpha = 0.5 * (1 / (sigmas**2 + 1)).log()
    std = (1 - (2 * log_alpha).exp()).sqrt()
    return std / log_alpha.exp(), log_alpha - std.log()


class _Update:
    """One step of UniPC: `lambdas` are those of the last predictions and of the target, oldest first."""

    def __init__(self, lambdas: Tensor, predictions: list[Tensor], variant: str) -> None:
        self.newest = predictions[-1]
        self.h = lambdas[-1] - lambdas[-2]
        self.ratios = [(known - lambdas[-2]) / self.h for known in lambdas[:-2].flip(0)]
        self.slopes = [(m - self.newest) / r for m, r in zip(predictions[-2::-1], self.ratios, strict=True)]
        self.scale = -self.h if variant == "bh1" else (-self.h).expm1()

    def first_order(self, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        """DDIM."""
        return sigma_next / sigma * x - (-self.h).expm1() * self.newest

    def _weights(self, ratios: list[Tensor]) -> list[float]:
        """Solve the order conditions, eq. 5 of the paper."""
        if len(ratios) == 1:
            return [0.5]
        hh = -self.h
        phi, factorial, right = hh.expm1() / hh - 1, 1.0, []
        for k in range(1, len(ratios) + 1):
            right.append(phi * factorial / self.scale)
            factorial *= k + 1
            phi = phi / hh - 1 / factorial
        nodes = torch.stack(ratios)
        matrix = torch.stack([nodes**k for k in range(len(ratios))])
        return [float(w) for w in torch.linalg.solve(matrix, torch.stack(right))]

    def predicted(self, base: Tensor) -> Tensor:
        """Extrapolate through the known predictions."""
        if not self.slopes:
            return base
        result = base
        for weight, slope in zip(self._weights(self.ratios), self.slopes, strict=True):
            result = result - self.scale * weight * slope
        return result

    def corrected(self, base: Tensor, prediction: Tensor) -> Tensor:
        """Take the prediction at the target into account."""
        slopes = [*self.slopes, prediction - self.newest]
        weights = self._weights([*self.ratios, torch.ones_like(self.h)])
        result = base
        for weight, slope in zip(weights, slopes, strict=True):
            result = result - self.scale * weight * slope
        return result
