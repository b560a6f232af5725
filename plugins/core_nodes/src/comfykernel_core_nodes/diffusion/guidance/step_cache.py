"""Step caches: calls whose result can be told from the last one are left out.

The model's output moves at a rate k with its input; as long as the predicted relative movement since the last real
call, k |x - x'| / |output'| summed up, stays below a threshold, output - x of the last call is used again.
Source: Zhou et al. 2025, EasyCache (arXiv:2507.02860), eq. 4 to 7.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.predictions import Batch, ModelCall
from comfykernel_core_nodes.diffusion.guidance.stages import CallGuided, GuidedRun, Stages
from comfykernel_core_nodes.diffusion.hook_points import Point, Site
from comfykernel_core_nodes.diffusion.samplers.contract import Guided

logger = logging.getLogger(__name__)

# Movements are measured on every eighth row and column.
SPACING: Final = 8


@dataclass(frozen=True, slots=True)
class CacheRange:
    """When a cache may act: noise levels, and the predicted relative change (0..3) below which a call is left out."""

    threshold: float
    first_sigma: float
    last_sigma: float

    @classmethod
    def of(cls, run: GuidedRun, threshold: float, start_percent: float, end_percent: float) -> CacheRange:
        """The range between two progresses of a run."""
        return cls(threshold, run.sigma_at(start_percent), run.sigma_at(end_percent))

    def has_ended(self, sigma: Tensor) -> bool:
        """Whether a noise level comes after the range."""
        return float(sigma) <= self.last_sigma

    def has_begun(self, sigma: Tensor) -> bool:
        """Whether a noise level does not come before the range."""
        return float(sigma) <= self.first_sigma


@dataclass(slots=True)
class Movement:
    """How far inputs and outputs moved between real calls."""

    threshold: float
    sum: float = 0.0
    rate: float | None = None
    _input: Tensor | None = None
    _output: Tensor | None = None
    _length: float = 0.0

    def fits(self, x: Tensor) -> bool:
        """Whether an input can be compared with the last one."""
        return self._input is not None and self._input.shape == _sample(x).shape

    def is_small(self, x: Tensor) -> bool:
        """Whether the output for an input is close to the last one, counting this input in."""
        if self._input is None or self.rate is None or not self.fits(x):
            return False
        self.sum += self.rate * _distance(_sample(x), self._input) / max(self._length, 1e-12)
        if self.sum < self.threshold:
            return True
        self.sum = 0.0
        return False

    def learn(self, x: Tensor, output: Tensor, *, measure: bool) -> None:
        """Take in a real call; `measure` the rate from the call before to this one."""
        if measure and self._input is not None and self._output is not None and self.fits(x):
            moved = _distance(_sample(x), self._input)
            if moved > 0:
                self.rate = _distance(_sample(output), self._output) / moved
        self._input, self._output = _sample(x).clone(), _sample(output).clone()
        self._length = float(output.abs().mean())


def _sample(values: Tensor) -> Tensor:
    return values[..., ::SPACING, ::SPACING]


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().mean())


@dataclass(slots=True)
class Skipped:
    """What a run left out; told at its last noise level."""

    name: str
    verbose: bool
    last_sigma: float
    steps: int = 0
    calls: int = 0
    _told: bool = False

    def count(self, *, skipped: bool, sigma: Tensor) -> None:
        """Take one step into account."""
        self.calls += 1
        self.steps += skipped
        if self.verbose:
            logger.info("%s: sigma %.4f %s", self.name, float(sigma), "left out" if skipped else "computed")
        if float(sigma) <= self.last_sigma and not self._told:
            self._told = True
            logger.info("%s left out %d of %d steps", self.name, self.steps, self.calls)


def lazy_cache(
    threshold: float, start_percent: float, end_percent: float, *, verbose: bool = False
) -> Callable[[GuidedRun], Stages]:
    """A cache of whole guided calls: for models of any kind, coarser than `easy_cache`."""

    def start(run: GuidedRun) -> Stages:
        cache = CacheRange.of(run, threshold, start_percent, end_percent)
        movement = Movement(threshold)
        skipped = Skipped("LazyCache", verbose, _last_level(run))
        last: tuple[Tensor, Tensor] | None = None

        def around(call: CallGuided) -> CallGuided:
            def guided(x: Tensor, sigma: Tensor, *, needs_negative: bool) -> Guided:
                nonlocal last
                if cache.has_ended(sigma):
                    return call(x, sigma, needs_negative=needs_negative)
                begun = cache.has_begun(sigma)
                if begun and last is not None and movement.is_small(x):
                    skipped.count(skipped=True, sigma=sigma)
                    return Guided(x + last[0], last[1])
                skipped.count(skipped=False, sigma=sigma)
                result = call(x, sigma, needs_negative=needs_negative)
                movement.learn(x, result.denoised, measure=begun)
                last = (result.denoised - x, result.uncond)
                return result

            return guided

        return Stages(around_call=(around,))

    return start


def _last_level(run: GuidedRun) -> float:
    return float(run.sigmas[-2]) if len(run.sigmas) > 1 else 0.0


def easy_cache(
    threshold: float, start_percent: float, end_percent: float, *, verbose: bool = False
) -> Callable[[GuidedRun], Stages]:
    """A cache of passes of the network, by condition; the condition that comes first decides for a step."""

    def start(run: GuidedRun) -> Stages:
        cache = NetworkCache(
            CacheRange.of(run, threshold, start_percent, end_percent),
            Skipped("EasyCache", verbose, _last_level(run)),
        )
        return Stages(around_call=(cache.around_call,), around_network=(cache.around_network,))

    return start


@dataclass(slots=True)
class NetworkCache:
    """The cache of one run of `easy_cache`."""

    range: CacheRange
    skipped: Skipped
    movement: Movement = field(init=False)
    _differences: dict[Hashable, Tensor] = field(default_factory=dict)
    """of the last real pass, by condition: output - input, one entry a row"""
    _first: Hashable = None
    _leaves_out: bool = False
    """what the first condition decided for this step"""

    def __post_init__(self) -> None:
        self.movement = Movement(self.range.threshold)

    def around_call(self, call: CallGuided) -> CallGuided:
        """Each guided call decides anew."""

        def guided(x: Tensor, sigma: Tensor, *, needs_negative: bool) -> Guided:
            self._leaves_out = False
            return call(x, sigma, needs_negative=needs_negative)

        return guided

    def around_network(self, call: ModelCall) -> ModelCall:
        """Calls of the network that may leave it out."""

        def called(batch: Batch) -> Tensor:
            added = tuple(id(function) for functions in batch.hooks.functions.values() for function in functions)
            keys = [(id(condition), added) for condition in batch.conditions]
            hooks = batch.hooks.with_function(Point.NETWORK, partial(self._pass, keys, batch.sigma[0]))
            return call(replace(batch, hooks=hooks))

        return called

    def _pass(
        self, keys: Sequence[Hashable], sigma: Tensor, run: Callable[[Tensor], Tensor], x: Tensor, site: Site
    ) -> Tensor:
        """One pass for a batch of conditions, each with as many rows of x; or the last outputs, moved along."""
        if self.range.has_ended(sigma):
            return run(x)
        self._first = self._first or keys[0]
        leads, begun = self._first in keys, self.range.has_begun(sigma)
        rows = len(x) // len(keys)
        known = begun and self._knows(keys, x[:rows])
        if known and leads:
            self._leaves_out = self.movement.is_small(x[:rows])
        if known and self._leaves_out:
            if leads:
                self.skipped.count(skipped=True, sigma=sigma)
            return self.moved_along([self._differences[key] for key in keys], x)
        output = run(x)
        differences = (output - x[:, : output.shape[1]]).chunk(len(keys))
        self._differences.update(zip(keys, differences, strict=True))
        if leads:
            place = rows * keys.index(self._first)
            self.movement.learn(x[:rows], output[place : place + rows], measure=begun)
            self.skipped.count(skipped=False, sigma=sigma)
        return output

    def moved_along(self, differences: Sequence[Tensor], x: Tensor) -> Tensor:
        """The last outputs for new inputs; differences: one a condition, with as many rows of x each."""
        return torch.cat([*differences]) + x[:, : differences[0].shape[1]]

    def _knows(self, keys: Sequence[Hashable], x: Tensor) -> bool:
        known = [self._differences.get(key) for key in keys]
        return all(each is not None and each[:, 0].shape == x[:, 0].shape for each in known)
