"""Guidance whose scale changes: over the frames of a video, or over a run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Stages, Step, in_range


def linear_over_frames(lowest: float) -> Stages:
    """From `lowest` in the first frame to the run's scale in the last; a batch is a video.

    Source: Blattmann et al. 2023 (arXiv:2311.15127), appendix D.
    """
    return Stages(combine=(lambda step: _combined(step, lowest, torch.linspace(0.0, 1.0, len(step.x))),))


def triangle_over_frames(lowest: float) -> Stages:
    """From `lowest` up to the run's scale in the middle frame and down again, for videos around an object.

    Source: Voleti et al. 2024 (arXiv:2403.12008), section 3.3.
    """

    def combine(step: Step) -> Tensor:
        place = torch.linspace(0.0, 1.0, len(step.x))
        return _combined(step, lowest, 1.0 - (2.0 * place - 1.0).abs())

    return Stages(combine=(combine,))


def _combined(step: Step, lowest: float, height: Tensor) -> Tensor:
    """height: [frames], 0 for the lowest scale and 1 for the run's."""
    scales = (lowest + height * (step.scale - lowest)).to(step.x)
    return step.uncond + (step.cond - step.uncond) * scales.view(-1, *[1] * (step.x.ndim - 1))


def override_scale(scale: float, start_percent: float, end_percent: float) -> Callable[[GuidedRun], Stages]:
    """Another scale in a part of the run; of several, the one that was added last counts."""

    def start(run: GuidedRun) -> Stages:
        applies = in_range(run, start_percent, end_percent)
        return Stages(scale=(lambda own, sigma: scale if applies(sigma) else own,))

    return start
