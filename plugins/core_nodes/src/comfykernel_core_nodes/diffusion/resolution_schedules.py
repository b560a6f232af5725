"""Schedules of flow models that follow the size of the picture: LTX-Video, FLUX.2 and Ideogram 4."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import InvalidSchedule
from comfykernel_core_nodes.diffusion.schedules import with_final_zero

# Numbers of latent positions between which the shift of LTX-Video is a line.
LTXV_FEWEST_TOKENS: Final = 1024
LTXV_MOST_TOKENS: Final = 4096

# FLUX.2: two lines over the number of tokens, measured at 10 and at 200 steps; beyond the limit only the second.
FLUX2_PATCH: Final = 16
FLUX2_SLOPES: Final = (8.73809524e-05, 0.00016927)
FLUX2_OFFSETS: Final = (1.89833333, 0.45666666)
FLUX2_MEASURED_STEPS: Final = (10, 200)
FLUX2_MOST_TOKENS: Final = 4300

# Ideogram 4: pixels at which nothing is added to the mean, and bounds of log(SNR).
IDEOGRAM_PIXELS: Final = 512 * 512
IDEOGRAM_LOG_SNR: Final = (-15.0, 18.0)


def shift_for_size(
    size: float,
    base_shift: float,
    max_shift: float,
    *,
    fewest: int = LTXV_FEWEST_TOKENS,
    most: int = LTXV_MOST_TOKENS,
) -> float:
    """The shift on a line from `base_shift` at `fewest` tokens to `max_shift` at `most`, and beyond."""
    slope = (max_shift - base_shift) / (most - fewest)
    return size * slope + base_shift - slope * fewest


def shifted_times(times: Tensor, shift: float) -> Tensor:
    """Times of a flow in 0..1, shifted as in Flux: e^s / (e^s + 1/t - 1); 0 stays 0."""
    return torch.where(times != 0, math.exp(shift) / (math.exp(shift) + (1 / times - 1)), times)


def ltxv_sigmas(
    steps: int,
    tokens: int = LTXV_MOST_TOKENS,
    *,
    base_shift: float = 0.95,
    max_shift: float = 2.05,
    terminal: float | None = 0.1,
) -> Tensor:
    """LTX-Video (HaCohen et al. 2024, arXiv:2501.00103): even times, shifted by the number of latent positions.

    `terminal` is the last level before 0 to which the others are stretched; None leaves them as they are. A single
    step has nothing to stretch.

    Raises:
        InvalidSchedule: the shift is so large that no level but the last differs from 1.
    """
    shift = shift_for_size(tokens, base_shift, max_shift)
    sigmas = shifted_times(torch.linspace(1.0, 0.0, steps + 1), shift)
    if terminal is not None and steps > 1:
        distance = 1.0 - sigmas[:-1]
        if not distance[-1] > 0:
            raise InvalidSchedule(f"A shift of {shift:g} brings every level to 1.", "Shifts of 0.5 to 3 are usual.")
        sigmas[:-1] = 1.0 - distance / (distance[-1] / (1.0 - terminal))
    return sigmas


def flux2_sigmas(steps: int, width: int, height: int) -> Tensor:
    """FLUX.2 (Black Forest Labs 2025, reference code): even times, shifted by the picture's size and the steps."""
    return shifted_times(torch.linspace(1.0, 0.0, steps + 1), flux2_shift(steps, width, height))


def flux2_shift(steps: int, width: int, height: int) -> float:
    """The shift of FLUX.2 for a picture in pixels."""
    tokens = round(width * height / FLUX2_PATCH**2)
    few, many = (slope * tokens + offset for slope, offset in zip(FLUX2_SLOPES, FLUX2_OFFSETS, strict=True))
    if tokens > FLUX2_MOST_TOKENS:
        return many
    low, high = FLUX2_MEASURED_STEPS
    slope = (many - few) / (high - low)
    return slope * steps + many - high * slope


def ideogram4_sigmas(steps: int, width: int, height: int, *, mu: float = 0.0, std: float = 1.75) -> Tensor:
    """Ideogram 4 (reference code, 2026): quantiles of a logit-normal distribution, then 0.

    Half of log(pixels / 512^2) is added to the mean `mu`.
    """
    mean = mu + 0.5 * math.log(width * height / IDEOGRAM_PIXELS)
    quantiles = torch.special.ndtri(torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)[1:-1])
    lowest, highest = IDEOGRAM_LOG_SNR
    smallest, largest = 1 / (1 + math.exp(0.5 * highest)), 1 / (1 + math.exp(0.5 * lowest))
    first = torch.full((1,), largest, dtype=torch.float64)
    between = (mean - std * quantiles).sigmoid().clamp(smallest, largest)
    return with_final_zero(torch.cat([first, between]).float())
