"""Changes of schedules: parts, reversal, single levels and levels in between. Nothing is changed in place."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import InvalidSchedule

# Stands for sigma 0 where a reversed schedule begins, as nothing can be divided by 0.
REVERSED_START: Final = 1e-4

_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")

# How far between two levels the part t of a step lies.
SPACINGS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "linear": lambda t: t,
    "cosine": lambda t: (t * math.pi / 2).sin(),
    "sine": lambda t: 1 - (t * math.pi / 2).cos(),
}


def split_at(sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The schedule up to a step and from it on; both hold the level between them."""
    return sigmas[: step + 1].clone(), sigmas[step:].clone()


def split_by_denoise(sigmas: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
    """The schedule before and in its last part of round(steps * denoise) steps.

    Where that is no step, the first part is empty and the second holds the last level alone.
    """
    last = round(max(len(sigmas) - 1, 0) * denoise)
    return (sigmas[:-last] if last else sigmas[:0]).clone(), sigmas[-(last + 1) :].clone()


def flipped(sigmas: Tensor) -> Tensor:
    """The schedule from its end to its start, for adding noise step by step; a level 0 at its start becomes 0.0001."""
    turned = sigmas.flip(0)
    if len(turned) and turned[0] == 0:
        turned[0] = REVERSED_START
    return turned


def with_first(sigmas: Tensor, sigma: float) -> Tensor:
    """The schedule with another first level. Raises `InvalidSchedule` for an empty one."""
    if not len(sigmas):
        raise InvalidSchedule("There is no first sigma to set: the schedule is empty.", "A denoise of 0 makes one.")
    changed = sigmas.clone()
    changed[0] = sigma
    return changed


def with_levels_between(
    sigmas: Tensor, parts: int, *, highest: float = math.inf, lowest: float = 0.0, spacing: str = "linear"
) -> Tensor:
    """Each step that starts between two levels, both included, cut into `parts`; `spacing` is one of `SPACINGS`."""
    between = SPACINGS[spacing](torch.linspace(0, 1, parts + 1, device=sigmas.device)[1:-1])
    pieces: list[Tensor] = []
    for start, end in pairwise(sigmas):
        pieces.append(start.view(1))
        if lowest <= float(start) <= highest:
            pieces.append(start + between * (end - start))
    return torch.cat([*pieces, sigmas[-1:]]).to(sigmas.dtype)


def read_sigmas(text: str) -> Tensor:
    """The numbers of a text in their order, whatever stands between them.

    Raises `InvalidSchedule` for a text without a number.
    """
    numbers = [float(number) for number in _NUMBER.findall(text)]
    if not numbers:
        raise InvalidSchedule(f"There is no number in {text[:40]!r}.", "Write levels such as 14.6, 3.8, 0.9, 0.")
    return torch.tensor(numbers, dtype=torch.float32)
