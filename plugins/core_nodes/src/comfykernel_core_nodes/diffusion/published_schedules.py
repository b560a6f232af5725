"""Schedules that were searched for and published as numbers: Align Your Steps, GITS and Optimal Steps.

Between the numbers of a table, and for more steps than it has, log(sigma) is linear in the step. All give float32
[steps + 1] that ends in 0; a `denoise` below 1 gives the last round(steps * denoise) steps, 0 or less none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import InvalidSchedule, UnknownSchedule
from comfykernel_core_nodes.diffusion.sigmas import DiscreteLevels

# Sabour et al. 2024, Align Your Steps (arXiv:2404.14507): training timesteps of ten steps, and the end.
_AYS_TIMESTEPS: Final = {
    "SD1": (999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0),
    "SDXL": (999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0),
}
# The same for Stable Video Diffusion, as noise levels.
_AYS_SIGMAS: Final = {"SVD": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002)}
AYS_MODELS: Final = ("SD1", "SDXL", "SVD")

# Pei et al. 2025, Optimal Stepsize for Diffusion Sampling (arXiv:2503.21774).
OSS_SIGMAS: Final = {
    "FLUX": (0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001),
    "Wan": (
        1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973,
        0.968, 0.96, 0.946, 0.927, 0.902, 0.864, 0.776, 0.539, 0.208, 0.001,
    ),
    "Chroma": (
        0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943, 0.931, 0.917, 0.9,
        0.881, 0.858, 0.832, 0.802, 0.769, 0.731, 0.69, 0.646, 0.599, 0.55, 0.501, 0.451, 0.402, 0.355,
        0.311, 0.27, 0.232, 0.199, 0.169, 0.143, 0.12, 0.101, 0.084, 0.07, 0.058, 0.048, 0.001,
    ),
}  # fmt: skip

# Rows of the GITS table are for 2 to 20 steps.
GITS_FEWEST_STEPS: Final = 2


class GitsTable(msgspec.Struct, frozen=True):
    """Schedules of GITS (Chen et al. 2024, arXiv:2405.11326) by coefficient, as `0.80` to `1.50`."""

    source: str
    levels: tuple[float, ...]
    """noise levels that steps end at, falling; every schedule has the first and the last"""
    between: dict[str, tuple[tuple[int, ...], ...]]
    """for each number of steps from 2 up the positions of the levels in between"""

    def sigmas(self, coefficient: str, row: int) -> list[float]:
        """The noise levels of one schedule."""
        return [self.levels[i] for i in (0, *self.between[coefficient][row], len(self.levels) - 1)]


@cache
def gits_table() -> GitsTable:
    """The table that comes with this package."""
    packed = files(__package__).joinpath("schedule_tables", "gits.json").read_bytes()
    return msgspec.json.decode(packed, type=GitsTable)


def align_your_steps(model: str, steps: int, *, denoise: float = 1.0) -> Tensor:
    """Align Your Steps for `SD1`, `SDXL` or `SVD`. Raises `UnknownSchedule` for others."""
    if model not in AYS_MODELS:
        raise UnknownSchedule(model, AYS_MODELS)
    return _last_steps(_ays_table(model), steps, denoise)


@cache
def _ays_table(model: str) -> tuple[float, ...]:
    if model in _AYS_SIGMAS:
        return _AYS_SIGMAS[model]
    levels = DiscreteLevels.scaled_linear()
    return tuple(float(levels.sigmas[step]) for step in _AYS_TIMESTEPS[model])


def optimal_steps(model: str, steps: int, *, denoise: float = 1.0) -> Tensor:
    """Optimal steps for `FLUX`, `Wan` or `Chroma`. Raises `UnknownSchedule` for others."""
    if model not in OSS_SIGMAS:
        raise UnknownSchedule(model, tuple(OSS_SIGMAS))
    return _last_steps(OSS_SIGMAS[model], steps, denoise)


def gits(coefficient: float, steps: int, *, denoise: float = 1.0) -> Tensor:
    """GITS for Stable Diffusion; a higher `coefficient` spends more steps on low noise.

    Raises `InvalidSchedule` for a coefficient without a published schedule, and for fewer than 2 steps.
    """
    table = gits_table()
    name = f"{coefficient:.2f}"
    if name not in table.between:
        known = list(table.between)
        raise InvalidSchedule(
            f"There is no published GITS schedule for the coefficient {coefficient:g}.",
            f"There is one for each 0.05 from {known[0]} to {known[-1]}.",
        )
    if steps < GITS_FEWEST_STEPS and denoise > 0.0:
        raise InvalidSchedule(f"GITS has no schedule of {steps} steps.", f"Take {GITS_FEWEST_STEPS} steps or more.")
    row = min(steps - GITS_FEWEST_STEPS, len(table.between[name]) - 1)
    return _last_steps(table.sigmas(name, row), steps, denoise)


def _last_steps(table: Sequence[float], steps: int, denoise: float) -> Tensor:
    if denoise <= 0.0:
        return torch.empty(0)
    wanted = steps if denoise >= 1.0 else round(steps * denoise)
    levels = table if len(table) == steps + 1 else _log_interpolated(table, steps + 1)
    sigmas = torch.tensor(levels[-(wanted + 1) :], dtype=torch.float32)
    sigmas[-1] = 0.0
    return sigmas


def _log_interpolated(table: Sequence[float], count: int) -> list[float]:
    """`count` levels from the first to the last of a falling table, linear in log(sigma)."""
    positions = np.linspace(0, 1, count)
    logs = np.interp(positions, np.linspace(0, 1, len(table)), np.log(np.asarray(table)))
    return [float(value) for value in np.exp(logs)]
