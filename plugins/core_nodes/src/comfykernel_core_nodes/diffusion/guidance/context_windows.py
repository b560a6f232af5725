"""Long latents in windows: predictions for parts of a dimension, overlapping, and averaged where they overlap.

The windows that change with the step are those of AnimateDiff's uniform context scheduler (Guo et al. 2023,
arXiv:2307.04725, in its published code).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor

Window = list[int]
# Smallest weight, so that no place is without one.
TINY: Final = 1e-37


@dataclass(frozen=True, slots=True)
class Windows:
    """How a dimension is cut.

    length: of a window; overlap: of neighbours, less than the length; stride: widest spacing inside of a window, as a
    power of 2; closed: the last place is followed by the first one.
    """

    length: int
    overlap: int = 0
    stride: int = 1
    closed: bool = False


def static_windows(count: int, step: int, how: Windows) -> list[Window]:
    """The same windows at every step; the last one is moved back to end at the last place."""
    windows: list[Window] = []
    for start in range(0, count, how.length - how.overlap):
        first = min(start, count - how.length)
        windows.append(list(range(first, first + how.length)))
        if start + how.length >= count:
            break
    return windows


def batched_windows(count: int, step: int, how: Windows) -> list[Window]:
    """Windows side by side; the last one may be shorter."""
    return [list(range(start, min(start + how.length, count))) for start in range(0, count, how.length)]


def looped_windows(count: int, step: int, how: Windows) -> list[Window]:
    """Windows of several spacings, at places that change with the step, going on at the start behind the end."""
    windows: list[Window] = []
    shift = round(count * _halving(step))
    end = count + shift - (0 if how.closed else how.overlap)
    widest = min(how.stride, math.ceil(math.log2(count / how.length)) + 1)
    for gap in (2**power for power in range(widest)):
        starts = range(int(_halving(step) * gap) + shift, end, gap * how.length - how.overlap)
        windows += [[(start + gap * place) % count for place in range(how.length)] for start in starts]
    return windows


def uniform_windows(count: int, step: int, how: Windows) -> list[Window]:
    """The same without going on at the start: such windows are moved to the end, what is left out gets its own."""
    windows: list[Window] = []
    for window in looped_windows(count, step, Windows(how.length, how.overlap, how.stride)):
        if any(here < last for last, here in pairwise(window)):
            moved = [(place - window[0]) % count for place in window]
            if moved != sorted(moved):
                # Spaced so widely that it goes round more than once.
                continue
            window = [place + count - 1 - moved[-1] for place in moved]
        if window not in windows:
            windows.append(window)
    while missing := set(range(count)) - {place for window in windows for place in window}:
        first = min(*missing, count - how.length)
        windows.append(list(range(first, first + how.length)))
    return windows


def _halving(step: int) -> float:
    """0, 1/2, 1/4, 3/4, 1/8 ...: the bits of a number mirrored at the point (van der Corput)."""
    return int(f"{step:064b}"[::-1], 2) / 2**64


def flat_weights(window: Window, count: int, overlap: int) -> Tensor:
    """All places alike."""
    return torch.ones(len(window))


def pyramid_weights(window: Window, count: int, overlap: int) -> Tensor:
    """1, 2, 3 ... up to the middle and down again."""
    places = torch.arange(1, len(window) + 1)
    return torch.minimum(places, places.flip(0)).float()


def relative_weights(window: Window, count: int, overlap: int) -> Tensor:
    """1 in the middle, close to 0 at the ends."""
    places = torch.tensor(window, dtype=torch.float32)
    middle, half = (window[0] + window[-1]) / 2, (window[-1] - window[0] + 1e-2) / 2
    return (1.0 - (places - middle).abs() / half).clamp(min=1e-2)


def overlap_weights(window: Window, count: int, overlap: int) -> Tensor:
    """1, with straight ramps over the overlaps with neighbours."""
    weights = torch.ones(len(window))
    ramp = torch.linspace(TINY, 1.0, overlap)
    if overlap and min(window) > 0:
        weights[:overlap] = ramp
    if overlap and max(window) < count - 1:
        weights[-overlap:] = ramp.flip(0)
    return weights


SCHEDULES: Final[Mapping[str, Callable[[int, int, Windows], list[Window]]]] = {
    "standard_static": static_windows,
    "standard_uniform": uniform_windows,
    "looped_uniform": looped_windows,
    "batched": batched_windows,
}
"""By name: (count of places, step, how) -> windows; called for more places than a window has."""

FUSIONS: Final[Mapping[str, Callable[[Window, int, int], Tensor]]] = {
    "pyramid": pyramid_weights,
    "relative": relative_weights,
    "flat": flat_weights,
    "overlap-linear": overlap_weights,
}
"""By name: (window, count of places, overlap) -> weights of the window's places."""


def fused(
    parts: Sequence[Tensor], windows: Sequence[Window], weights: Sequence[Tensor], like: Tensor, dim: int
) -> Tensor:
    """The weighted average of predictions for windows of a dimension, in the shape of `like`."""
    total, sums = torch.zeros_like(like), like.new_zeros(like.shape[dim])
    for part, window, weight in zip(parts, windows, weights, strict=True):
        places, factors = torch.tensor(window, device=like.device), weight.to(like)
        total.index_add_(dim, places, part * factors.view(-1, *[1] * (like.ndim - 1 - dim)))
        sums.index_add_(0, places, factors)
    return total / sums.view(-1, *[1] * (like.ndim - 1 - dim))
