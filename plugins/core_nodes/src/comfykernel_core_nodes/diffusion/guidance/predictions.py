"""Predictions of the clean latent: one a side, the conditions of each combined place by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.batch_fitting import pass_in_room
from comfykernel_core_nodes.diffusion.batched_inputs import can_join, join_inputs
from comfykernel_core_nodes.diffusion.condition_areas import PlacedCondition, active_weights
from comfykernel_core_nodes.diffusion.control import ControlCall, control_residuals
from comfykernel_core_nodes.diffusion.errors import ResidualShapeError
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Call, Hooks

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.diffusion_model import RunnableModel
    from comfykernel_core_nodes.diffusion.memory import ModelMemory

# The conditions of a side (positive, negative, ...), placed for the latents of a run.
Side = Sequence[PlacedCondition]


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
    hooks: Hooks = NO_HOOKS
    """functions inside the network for this pass, besides the model's own"""


class ModelCall(Protocol):
    """A model for one batch of conditions; gives predictions of the clean latents, in the rows of the batch."""

    def __call__(self, batch: Batch) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class NetworkCall:
    """Calls the network of a model, with the control networks of the conditions."""

    model: RunnableModel
    memory: ModelMemory

    def __call__(self, batch: Batch) -> Tensor:
        return pass_in_room(self._passed, batch, self.memory)

    def _passed(self, batch: Batch) -> Tensor:
        first = batch.conditions[0]
        inputs = join_inputs(
            [condition.inputs for condition in batch.conditions],
            [condition.crop for condition in batch.conditions],
            batch.rows,
        )
        if first.condition.controls:
            call = control_call(self.model, self.memory, batch, inputs)
            residuals = control_residuals(first.condition.controls, call)
            if residuals is not None:
                inputs["control"] = {name: list(values) for name, values in residuals.items()}
        call_of = Call(batch.sides, batch.sigma, tuple(batch.x.shape))
        hooks = batch.hooks
        for attachment in first.condition.attachments:
            hooks = hooks.joined(attachment.hooks(batch.x.shape, self.memory))
        try:
            return self.model.denoise(batch.x, batch.sigma, inputs, hooks=hooks, call=call_of)
        except ResidualShapeError as error:
            files = ", ".join(control.label for control in first.condition.controls)
            raise ResidualShapeError(f"{files}: {error.message}", error.hint) from error


def control_call(model: RunnableModel, memory: ModelMemory, batch: Batch, inputs: Mapping[str, object]) -> ControlCall:
    """What control networks see of a batch; inputs: those of the main network."""
    if any(condition.control_inputs is not None for condition in batch.conditions):
        inputs = join_inputs(
            [condition.seen_by_controls for condition in batch.conditions],
            [condition.crop for condition in batch.conditions],
            batch.rows,
        )
    return ControlCall(model, memory, batch.x, batch.sigma, inputs, len(batch.conditions))


def predict_sides(
    call: ModelCall, x: Tensor, sigma: Tensor, sides: Sequence[Side | None], *, hooks: Hooks = NO_HOOKS
) -> list[Tensor]:
    """One prediction a side: the average of its active conditions, weighted place by place.

    Where a side has no active condition, its prediction is zero; so is that of a side that is None.
    """
    totals = [torch.zeros_like(x) for _ in sides]
    # Not quite zero, so that an uncovered place stays 0 / tiny = 0.
    weights = [torch.full_like(x, 1e-37) for _ in sides]
    jobs = [
        (side, condition, weight)
        for side, conditions in enumerate(sides)
        for condition, weight in active_weights(conditions or (), x, float(sigma))
    ]
    for group in _batches([job[1] for job in jobs], x):
        chosen = [jobs[i] for i in group]
        inputs = torch.cat([condition.crop(x) for _, condition, _ in chosen])
        conditions = [condition for _, condition, _ in chosen]
        numbers = tuple(side for side, _, _ in chosen)
        batch = Batch(conditions, numbers, inputs, sigma.expand(len(inputs)), len(x), hooks)
        for (side, condition, weight), output in zip(chosen, call(batch).chunk(len(chosen)), strict=True):
            condition.crop(totals[side]).add_(output * weight)
            condition.crop(weights[side]).add_(weight)
    return [total / weight for total, weight in zip(totals, weights, strict=True)]


def _batches(conditions: Side, x: Tensor) -> list[list[int]]:
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
    if a.controls and not can_join(first.seen_by_controls, second.seen_by_controls):
        return False
    return a.hooks == b.hooks and a.model is b.model and can_join(first.inputs, second.inputs)
