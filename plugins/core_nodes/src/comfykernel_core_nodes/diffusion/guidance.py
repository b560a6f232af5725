"""Guidance: predictions for conditions, combined by area, and the step away from the negative ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.batched_inputs import can_join, join_inputs
from comfykernel_core_nodes.diffusion.condition_areas import PlacedCondition
from comfykernel_core_nodes.diffusion.control import ControlCall, control_residuals
from comfykernel_core_nodes.diffusion.diffusion_model import RunnableModel
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Call, Hooks
from comfykernel_core_nodes.diffusion.memory import ModelMemory
from comfykernel_core_nodes.diffusion.samplers.contract import Guided


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Conditions that pass the network together."""

    conditions: Sequence[PlacedCondition]
    sides: tuple[int, ...]
    """for each condition the number of its side"""
    x: Tensor
    """noisy latents, cut to the conditions' areas and joined"""
    sigma: Tensor
    """noise levels, one a row of x"""
    rows: int
    """rows of x for each condition"""


class ModelCall(Protocol):
    """A model for one batch of conditions; gives predictions of the clean latents, in the rows of the batch."""

    def __call__(self, batch: Batch) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class NetworkCall:
    """Calls the network of a model, with the control networks of the conditions."""

    model: RunnableModel
    memory: ModelMemory
    hooks: Hooks | None = None
    """functions for these calls besides the model's own"""

    def __call__(self, batch: Batch) -> Tensor:
        first = batch.conditions[0]
        inputs = join_inputs(
            [condition.inputs for condition in batch.conditions],
            [condition.crop for condition in batch.conditions],
            batch.rows,
        )
        if first.condition.controls:
            call = ControlCall(self.model, self.memory, batch.x, batch.sigma, inputs, len(batch.conditions))
            residuals = control_residuals(first.condition.controls, call)
            if residuals is not None:
                inputs["control"] = {name: list(values) for name, values in residuals.items()}
        call_of = Call(batch.sides, batch.sigma, tuple(batch.x.shape))
        hooks = self.hooks or NO_HOOKS
        for attachment in first.condition.attachments:
            hooks = hooks.joined(attachment.hooks(batch.x.shape, self.memory))
        return self.model.denoise(batch.x, batch.sigma, inputs, hooks=hooks, call=call_of)


class Predictions(NamedTuple):
    """Predictions of the clean latent for the positive and the negative conditions; None: not computed."""

    cond: Tensor
    uncond: Tensor | None


# Combines predictions to the one that the sampler follows.
Combine = Callable[[Predictions, float], Tensor]


def classifier_free(predictions: Predictions, scale: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598, eq. 6)."""
    if predictions.uncond is None:
        return predictions.cond
    return predictions.uncond + (predictions.cond - predictions.uncond) * scale


class GuidedDenoiser:
    """A model with its conditions, as samplers see it.

    Both sides run in one batch where their shapes allow. At scale 1 the negative side is left out.
    """

    def __init__(
        self,
        call: ModelCall,
        positive: Sequence[PlacedCondition],
        negative: Sequence[PlacedCondition],
        scale: float,
        *,
        combine: Combine = classifier_free,
        check: Callable[[], None] | None = None,
    ) -> None:
        self.call = call
        self.positive = positive
        self.negative = negative
        self.scale = scale
        self.combine = combine
        self.check = check

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if math.isclose(self.scale, 1.0):
            (cond,) = self._predict(x, sigma, [self.positive])
            return self.combine(Predictions(cond, None), self.scale)
        return self.guided(x, sigma).denoised

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        cond, uncond = self._predict(x, sigma, [self.positive, self.negative])
        return Guided(self.combine(Predictions(cond, uncond), self.scale), uncond)

    def _predict(self, x: Tensor, sigma: Tensor, sides: Sequence[Sequence[PlacedCondition]]) -> list[Tensor]:
        if self.check is not None:
            self.check()
        return predict_sides(self.call, x, sigma, sides)


def predict_sides(
    call: ModelCall, x: Tensor, sigma: Tensor, sides: Sequence[Sequence[PlacedCondition]]
) -> list[Tensor]:
    """One prediction a side: the average of its active conditions, weighted place by place.

    Where a side has no active condition, its prediction is zero.
    """
    totals = [torch.zeros_like(x) for _ in sides]
    # Not quite zero, so that an uncovered place stays 0 / tiny = 0.
    weights = [torch.full_like(x, 1e-37) for _ in sides]
    jobs = [
        (side, condition, condition.weight(x))
        for side, conditions in enumerate(sides)
        for condition in conditions
        if condition.is_active(float(sigma))
    ]
    for group in _batches([job[1] for job in jobs], x):
        chosen = [jobs[i] for i in group]
        inputs = torch.cat([condition.crop(x) for _, condition, _ in chosen])
        conditions = [condition for _, condition, _ in chosen]
        numbers = tuple(side for side, _, _ in chosen)
        outputs = call(Batch(conditions, numbers, inputs, sigma.expand(len(inputs)), len(x))).chunk(len(chosen))
        for (side, condition, weight), output in zip(chosen, outputs, strict=True):
            condition.crop(totals[side]).add_(output * weight)
            condition.crop(weights[side]).add_(weight)
    return [total / weight for total, weight in zip(totals, weights, strict=True)]


def _batches(conditions: Sequence[PlacedCondition], x: Tensor) -> list[list[int]]:
    """Indices of conditions that can run in one batch."""
    groups: list[list[int]] = []
    for i, condition in enumerate(conditions):
        for group in groups:
            if _fit(conditions[group[0]], condition, x):
                group.append(i)
                break
        else:
            groups.append([i])
    return groups


def _fit(first: PlacedCondition, second: PlacedCondition, x: Tensor) -> bool:
    a, b = first.condition, second.condition
    if first.crop(x).shape != second.crop(x).shape or a.controls != b.controls or a.attachments != b.attachments:
        return False
    return can_join(first.inputs, second.inputs)
