"""Masks of inpainting runs that change with the noise level."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Stages


def differential_diffusion(strength: float = 1.0) -> Callable[[GuidedRun], Stages]:
    """A soft mask says for how long each place may change (Levin and Fried 2023, arXiv:2306.00950, algorithm 1).

    strength: 1 for their hard decision at each step, 0 for the soft mask as it is.
    """

    def start(run: GuidedRun) -> Stages:
        timestep = run.model.sampling.levels.timestep
        last = max(float(run.sigmas[-1]), run.model.sampling.sigma_min)
        begin, end = (float(timestep(run.sigmas.new_tensor([sigma]))) for sigma in (float(run.sigmas[0]), last))

        def mask(soft: Tensor, sigma: Tensor) -> Tensor:
            left = (float(timestep(sigma.reshape(1))) - end) / (begin - end) if begin != end else 0.0
            hard = (soft >= left).to(soft.dtype)
            return strength * hard + (1.0 - strength) * soft

        return Stages(mask=(mask,))

    return start
