"""Strengths over a run: keyframes at points of its progress, and which of them acts at a noise level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch

Interpolation = Literal["linear", "ease_in", "ease_out", "ease_in_out"]


@dataclass(frozen=True, slots=True)
class Keyframe:
    """From a progress of the run (0..1) on, a strength acts."""

    start_percent: float
    strength: float
    guaranteed: bool = True
    """acts for one call of the model at least, even where the next one begins before that"""


# In the order of their starts; equal starts stay as they were added.
Keyframes = tuple[Keyframe, ...]


def with_keyframes(before: Keyframes, added: Sequence[Keyframe]) -> Keyframes:
    """Both, in the order of their starts."""
    return tuple(sorted((*before, *added), key=lambda keyframe: keyframe.start_percent))


def evenly_spaced(strengths: Sequence[float], start_percent: float, end_percent: float) -> list[Keyframe]:
    """One keyframe for each strength, from the start to the end; the first is guaranteed its call."""
    starts = torch.linspace(start_percent, end_percent, len(strengths)).tolist()
    return [
        Keyframe(start, strength, guaranteed=number == 0)
        for number, (start, strength) in enumerate(zip(starts, strengths, strict=True))
    ]


# How far an interpolation has come, by how far its way has: both 0..1.
EASINGS: Final[dict[Interpolation, Callable[[torch.Tensor], torch.Tensor]]] = {
    "linear": lambda way: way,
    "ease_in": lambda way: way**2,
    "ease_out": lambda way: 1 - (1 - way) ** 2,
    "ease_in_out": lambda way: (1 - torch.cos(way * torch.pi)) / 2,
}


def interpolated(start: float, end: float, count: int, method: Interpolation) -> list[float]:
    """Values from a start to an end, both included."""
    way = torch.linspace(0, 1, count, dtype=torch.float64)
    values: list[float] = (start + (end - start) * EASINGS[method](way)).tolist()
    return values


class StrengthOverRun:
    """The strength of some keyframes in one run, asked for at each noise level on the way down.

    The first keyframe acts before its start, too. sigma_at: the noise level of a progress in 0..1.
    """

    def __init__(self, keyframes: Keyframes, sigma_at: Callable[[float], float], first_sigma: float) -> None:
        self._keyframes = keyframes
        self._starts = [sigma_at(keyframe.start_percent) for keyframe in keyframes]
        self._first_sigma = first_sigma
        self._index = 0
        self._calls = 0
        self._sigma: float | None = None

    def at(self, sigma: float) -> float:
        """The strength at a noise level; asking again at the same one changes nothing."""
        if not self._keyframes:
            return 1.0
        if sigma != self._sigma:
            self._move_to(sigma)
            self._calls += 1
            self._sigma = sigma
        return self._keyframes[self._index].strength

    def _move_to(self, sigma: float) -> None:
        if self._is_due(self._index) and not self._calls:
            return
        for index in range(self._index + 1, len(self._keyframes)):
            if self._starts[index] < sigma:
                return
            self._index, self._calls = index, 0
            if self._is_due(index):
                return

    def _is_due(self, index: int) -> bool:
        """Whether a keyframe begins inside the run, so that it is guaranteed its call."""
        return self._keyframes[index].guaranteed and self._starts[index] <= self._first_sigma


def strength_ranges(keyframes: Keyframes) -> list[tuple[float, float, float]]:
    """(start, end, strength) of the parts of a run, 0..1, that have one strength; before the first there is none."""
    ranges: list[tuple[float, float, float]] = []
    for number, keyframe in enumerate(keyframes):
        end = keyframes[number + 1].start_percent if number + 1 < len(keyframes) else 1.0
        if end <= keyframe.start_percent:
            continue
        if ranges and ranges[-1][2] == keyframe.strength:
            ranges[-1] = (ranges[-1][0], end, keyframe.strength)
        else:
            ranges.append((keyframe.start_percent, end, keyframe.strength))
    return ranges
