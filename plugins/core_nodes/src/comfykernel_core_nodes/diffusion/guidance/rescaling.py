"""Guidance whose length is bounded: combined predictions brought back to the size of the positive one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.denoiser import linear
from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Stages, Step


def rescale_cfg(multiplier: float) -> Stages:
    """Guidance of the velocity, brought to the standard deviation of the positive prediction.

    Source: Lin et al. 2023 (arXiv:2305.08891), section 3.4; `multiplier` is their phi, 0..1.
    """

    def combine(step: Step) -> Tensor:
        amplitude = (step.sigma**2 + 1.0).sqrt()

        def velocity(denoised: Tensor) -> Tensor:
            return (step.x / amplitude**2 - denoised) * amplitude / step.sigma

        cond, uncond = velocity(step.cond), velocity(step.uncond)
        guided = uncond + (cond - uncond) * step.scale
        dims = tuple(range(1, guided.ndim))
        rescaled = guided * (cond.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True))
        final = multiplier * rescaled + (1.0 - multiplier) * guided
        return step.x / amplitude**2 - final * step.sigma / amplitude

    return Stages(combine=(combine,))


def cfg_norm(strength: float) -> Stages:
    """No place of the combined prediction is longer, over its channels, than the positive one; then times `strength`.

    The bound that published pipelines of Qwen-Image put on guidance.
    """

    def after(denoised: Tensor, step: Step) -> Tensor:
        wanted, got = (torch.linalg.vector_norm(each, dim=1, keepdim=True) for each in (step.cond, denoised))
        bounded: Tensor = denoised * (wanted / (got + 1e-8)).clamp(0.0, 1.0) * strength
        return bounded

    return Stages(after=(after,))


def renorm_cfg(truncation: float, renorm: float) -> Stages:
    """Guidance of Lumina-Image 2.0 (Qin et al. 2025, arXiv:2503.21758, section 3.3).

    At noise levels of `truncation` and above only the positive prediction counts; below, the combined one is at most
    `renorm` times as long as the positive one, row by row (0: of any length).
    """

    def combine(step: Step) -> Tensor:
        if float(step.sigma) >= truncation:
            return step.cond
        guided = linear(step)
        if renorm <= 0:
            return guided
        dims = tuple(range(1, guided.ndim))
        longest, got = (torch.linalg.vector_norm(each, dim=dims, keepdim=True) for each in (step.cond, guided))
        bounded: Tensor = guided * (longest * renorm / got).clamp(max=1.0)
        return bounded

    return Stages(combine=(combine,))


def scale_epsilon(factor: float) -> Stages:
    """The predicted noise divided by a factor slightly above 1, against exposure bias.

    Source: Ning et al. 2023 (arXiv:2308.15321), eq. 11 with a constant factor.
    """

    def after(denoised: Tensor, step: Step) -> Tensor:
        return step.x - (step.x - denoised) / factor

    return Stages(after=(after,))


def rescale_score(k: float, sigma: float) -> Callable[[GuidedRun], Stages]:
    """Temporal score rescaling (Xu et al. 2025, arXiv:2510.01184): the score of data whose variance is divided by k.

    The score is multiplied by (snr s^2 + 1) / (snr s^2 / k + 1) with snr = alpha^2 / sigma^2 and s the parameter
    `sigma`, the deviation of the data: it says how early the change begins. k below 1 gives more variation and
    detail, k above 1 smoother results.
    """

    def start(run: GuidedRun) -> Stages:
        path = run.model.sampling.path

        def after(denoised: Tensor, step: Step) -> Tensor:
            alpha = path.alpha(step.sigma)
            signal, noise = (alpha * sigma) ** 2, step.sigma**2
            ratio = (signal + noise) / (signal / k + noise)
            # (1 - ratio) / alpha, in a form that is finite where alpha is 0.
            rest = alpha * sigma**2 * (1.0 / k - 1.0) / (signal / k + noise)
            return ratio * denoised + rest * step.x

        return Stages(after=(after,))

    return start
