"""Perp-Neg: of what the negative conditions say only what does not speak of the positive ones.

Source: Armandpour et al. 2023 (arXiv:2304.04968), eq. 9.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditions
from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Stages, Step


def perpendicular(step: Step, empty: Tensor, negative_scale: float) -> Tensor:
    """The guided prediction; `empty` is the prediction for the empty prompt, [batch, channel, ...]."""
    positive, negative = step.cond - empty, step.uncond - empty
    along = (negative * positive).sum() / positive.square().sum() * positive
    return empty + step.scale * (positive - negative_scale * (negative - along))


def perp_neg(empty: Conditions, negative_scale: float) -> Callable[[GuidedRun], Stages]:
    """Perp-Neg for a model: the empty prompt is one more side of every call."""

    def start(run: GuidedRun) -> Stages:
        side = run.place(empty)

        def combine(step: Step) -> Tensor:
            (prediction,) = step.predict([side])
            return perpendicular(step, prediction, negative_scale)

        return Stages(combine=(combine,))

    return start
