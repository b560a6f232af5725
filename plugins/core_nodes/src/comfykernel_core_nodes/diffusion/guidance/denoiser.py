"""A model with its conditions, as samplers see it: predictions of sides, guided to one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.predictions import ModelCall, Side, predict_sides
from comfykernel_core_nodes.diffusion.guidance.stages import AroundPredict, CallGuided, Predict, Stages, Step
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks
from comfykernel_core_nodes.diffusion.samplers.contract import Guided


@dataclass(frozen=True, slots=True, eq=False)
class GuidedCall:
    """One call of a guided model, as a `Guide` sees it."""

    x: Tensor
    sigma: Tensor
    scale: float
    stages: Stages
    predict: Predict
    """predictions of any sides"""
    predict_main: Predict
    """predictions of the sides that are combined"""
    needs_negative: bool

    def leaves_out_negative(self, scale: float) -> bool:
        """Whether the negative side would play no part at a scale, and nobody needs it."""
        return math.isclose(scale, 1.0) and not self.needs_negative and not self.stages.needs_negative

    def step(
        self, positive: Side, negative: Side | None, cond: Tensor, uncond: Tensor, scale: float | None = None
    ) -> Step:
        """What functions of the stages see when two predictions are combined."""
        chosen = self.scale if scale is None else scale
        return Step(self.x, self.sigma, chosen, positive, negative, cond, uncond, self.predict)

    def changed(self, step: Step) -> Step:
        """The step after the functions before combining."""
        for change in self.stages.before:
            cond, uncond = change(step)
            step = replace(step, cond=cond, uncond=uncond)
        return step

    def combined(self, step: Step) -> Guided:
        """Both predictions combined, and what comes after."""
        combine = self.stages.combine[-1] if self.stages.combine else linear
        return self.finished(combine(step), step)

    def finished(self, denoised: Tensor, step: Step) -> Guided:
        """A combined prediction after the functions that come after combining."""
        for change in self.stages.after:
            denoised = change(denoised, step)
        return Guided(denoised, step.uncond)


# How the predictions for a run's sides become one.
Guide = Callable[[GuidedCall, Sequence[Side]], Guided]


def linear(step: Step) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598, eq. 6)."""
    return step.uncond + (step.cond - step.uncond) * step.scale


def classifier_free(call: GuidedCall, sides: Sequence[Side]) -> Guided:
    """From the second side to the first and beyond; at scale 1, or without a second side, that one is left out."""
    positive, negative = sides[0], sides[1] if len(sides) > 1 else None
    if call.leaves_out_negative(call.scale):
        negative = None
    cond, uncond = call.predict_main([positive, negative])
    return call.combined(call.changed(call.step(positive, negative, cond, uncond)))


class GuidedDenoiser:
    """A model with the sides of its conditions, as samplers see it.

    All sides run in one batch where their shapes allow.
    """

    def __init__(
        self,
        call: ModelCall,
        sides: Sequence[Side],
        scale: float,
        *,
        guide: Guide = classifier_free,
        stages: Stages | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._stages = stages or Stages()
        for wrap_network in self._stages.around_network:
            call = wrap_network(call)
        self._network = call
        self._sides = sides
        self._scale = scale
        self._guide = guide
        self._check = check
        run: CallGuided = self._guided
        for wrap_call in self._stages.around_call:
            run = wrap_call(run)
        self._run = run

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._run(x, sigma, needs_negative=False).denoised

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        """The same with the negative prediction; zeros where there is no negative side."""
        return self._run(x, sigma, needs_negative=True)

    def _guided(self, x: Tensor, sigma: Tensor, *, needs_negative: bool) -> Guided:
        if self._check is not None:
            self._check()
        scale = self._scale
        for change in self._stages.scale:
            scale = change(scale, sigma)
        predict = _wrapped(partial(self._predict, x, sigma), self._stages.around_prediction, x, sigma)
        main = _wrapped(predict, self._stages.around_sides, x, sigma)
        return self._guide(GuidedCall(x, sigma, scale, self._stages, predict, main, needs_negative), self._sides)

    def _predict(
        self,
        own: Tensor,
        sigma: Tensor,
        sides: Sequence[Side | None],
        *,
        x: Tensor | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> list[Tensor]:
        return predict_sides(self._network, own if x is None else x, sigma, sides, hooks=hooks)


def _wrapped(predict: Predict, around: Sequence[AroundPredict], x: Tensor, sigma: Tensor) -> Predict:
    for wrap in around:
        predict = wrap(predict, x, sigma)
    return predict
