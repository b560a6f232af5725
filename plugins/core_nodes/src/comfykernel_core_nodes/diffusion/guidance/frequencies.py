"""Guidance with scales of its own for coarse and fine structure."""

from __future__ import annotations

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.stages import Predictions, Stages, Step


def scale_frequencies(low: float, high: float, cutoff: int) -> Stages:
    """FreSca (Huang et al. 2025, arXiv:2504.02154): low and high frequencies of the guidance times a factor each.

    cutoff: half the side of the square of low frequencies, in steps of the discrete spectrum.
    """

    def before(step: Step) -> Predictions:
        if step.negative is None:
            return step.predictions
        return Predictions(scaled_spectrum(step.cond - step.uncond, low, high, cutoff) + step.uncond, step.uncond)

    return Stages(before=(before,))


def scaled_spectrum(maps: Tensor, low: float, high: float, cutoff: int) -> Tensor:
    """Maps [..., height, width] with their low and high frequencies scaled."""
    height, width = maps.shape[-2:]
    spectrum = torch.fft.fftshift(torch.fft.fftn(maps.float(), dim=(-2, -1)), dim=(-2, -1))
    factors = torch.full((height, width), high, device=maps.device)
    top, left = max(0, height // 2 - cutoff), max(0, width // 2 - cutoff)
    factors[top : height // 2 + cutoff, left : width // 2 + cutoff] = low
    changed: Tensor = torch.fft.ifftn(torch.fft.ifftshift(spectrum * factors, dim=(-2, -1)), dim=(-2, -1)).real
    return changed.to(maps.dtype)
