"""Guidance that treats parts of the difference between positive and negative predictions apart, by direction."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Predictions, Stages, Step


def adaptive_projected_guidance(eta: float, norm_threshold: float, momentum: float) -> Callable[[GuidedRun], Stages]:
    """APG (Sadat et al. 2024, arXiv:2410.02416, algorithm 1).

    Parameters:
        eta: weight of the part of the guidance that is parallel to the positive prediction.
        norm_threshold: longest guidance, over channels, height and width; 0 for any length.
        momentum: of the guidance over the steps of a run; negative values push away from the last steps.
    """

    def start(run: GuidedRun) -> Stages:
        average: Tensor | None = None
        last_sigma = float("inf")

        def before(step: Step) -> Predictions:
            nonlocal average, last_sigma
            if float(step.sigma) > last_sigma:
                average = None
            last_sigma = float(step.sigma)
            guidance = step.cond - step.uncond
            if momentum:
                guidance = average = guidance if average is None else momentum * average + guidance
            if norm_threshold > 0:
                length = torch.linalg.vector_norm(guidance, dim=(-3, -2, -1), keepdim=True)
                guidance = guidance * (norm_threshold / length).clamp(max=1.0)
            parallel = _projected(guidance, step.cond)
            update = (guidance - parallel) + eta * parallel
            if not step.scale:
                return step.predictions
            # Combined at the scale s this gives cond + s * update.
            cond = step.uncond + update + (step.cond - step.uncond) / step.scale
            return Predictions(cond, step.uncond)

        return Stages(before=(before,))

    return start


def _projected(vectors: Tensor, onto: Tensor) -> Tensor:
    """The part of vectors along others; a vector is all channels, rows and columns of one row of the batch."""
    wide, direction = vectors.double(), onto.double()
    direction = direction / torch.linalg.vector_norm(direction, dim=(-3, -2, -1), keepdim=True).clamp(min=1e-12)
    along: Tensor = (wide * direction).sum(dim=(-3, -2, -1), keepdim=True) * direction
    return along.to(vectors.dtype)


def cfg_zero_star() -> Stages:
    """CFG-Zero* (Fan et al. 2025, arXiv:2503.18886, eq. 7): the negative prediction scaled to fit the positive one.

    The factor is fitted to the predicted noise and holds for the predicted clean latents.
    """

    def after(denoised: Tensor, step: Step) -> Tensor:
        cond, uncond = (step.x - step.cond).flatten(1), (step.x - step.uncond).flatten(1)
        fit = (cond * uncond).sum(1, keepdim=True) / (uncond.square().sum(1, keepdim=True) + 1e-8)
        fit = fit.view(-1, *[1] * (denoised.ndim - 1))
        return denoised + step.uncond * (1.0 - fit) * (step.scale - 1.0)

    return Stages(after=(after,))


def tangential_damping() -> Stages:
    """TCFG (Kwon et al. 2025, arXiv:2503.18137, algorithm 1): of the negative score only what lies along the main
    direction of both scores."""

    def before(step: Step) -> Predictions:
        if step.negative is None:
            return step.predictions
        cond, uncond = ((step.x - each).flatten(1).double() for each in step.predictions)
        _, _, directions = torch.linalg.svd(torch.stack([cond, uncond], dim=1), full_matrices=False)
        main = directions[:, 0]
        damped = (uncond * main).sum(1, keepdim=True) * main
        return Predictions(step.cond, step.x - damped.view_as(step.x).to(step.x.dtype))

    return Stages(before=(before,))


def mahiro() -> Stages:
    """Guidance that leans to the scaled positive prediction the more the negative one points elsewhere.

    A published formula without a paper: with p = scale * cond, n = scale * uncond, g the guided prediction and
    r(t) = sign(t) sqrt(|t|), the similarity of r(n) and r((p + g) / 2), -1..1, decides how g and p are mixed.
    """

    def after(denoised: Tensor, step: Step) -> Tensor:
        positive, negative = step.cond * step.scale, step.uncond * step.scale
        similarity = functional.cosine_similarity(_root(negative), _root((positive + denoised) / 2)).mean()
        weight = (similarity + 1.0) / 2.0
        return weight * denoised + (1.0 - weight) * positive

    return Stages(after=(after,))


def _root(values: Tensor) -> Tensor:
    return values.abs().sqrt() * values.sign()
