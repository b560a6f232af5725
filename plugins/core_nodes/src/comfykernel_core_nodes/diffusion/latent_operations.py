"""Operations on latents [batch, channel, height, width], for finished ones and for guidance alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.stages import Predictions, Stages, Step

LatentOperation = Callable[[Tensor], Tensor]


def tonemap_reinhard(multiplier: float) -> LatentOperation:
    """Reinhard's curve over the lengths of the channel vectors (Reinhard et al. 2002, eq. 3).

    White is the mean length and three standard deviations, times `multiplier`; lengths approach it and never reach it.
    """

    def operate(latent: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(latent, dim=1, keepdim=True) + 1e-10
        dims = tuple(range(1, latent.ndim))
        white = (length.std(dim=dims, keepdim=True) * 3 + length.mean(dim=dims, keepdim=True)) * multiplier
        relative = length / white
        mapped: Tensor = latent / length * (relative / (relative + 1.0)) * white
        return mapped

    return operate


def sharpen(radius: int, sigma: float, alpha: float) -> LatentOperation:
    """Unsharp mask of the directions of the channel vectors; their lengths stay.

    radius: of the blur, in latent units; sigma: its deviation; alpha: a tenth of the strength.
    """

    def operate(latent: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(latent, dim=1, keepdim=True) + 1e-6
        direction = latent / length
        places = torch.linspace(-1.0, 1.0, 2 * radius + 1, device=latent.device)
        distance = (places[:, None] ** 2 + places[None] ** 2).sqrt()
        kernel = (-(distance**2) / (2.0 * sigma**2)).exp()
        kernel = kernel / kernel.sum() * (-alpha * 10.0)
        kernel[radius, radius] += 1.0 - kernel.sum()
        depthwise = kernel.to(latent.dtype).expand(latent.shape[1], 1, -1, -1)
        # A blur wider than the latent has nothing to mirror.
        edges = "reflect" if radius < min(latent.shape[2:]) else "replicate"
        padded = functional.pad(direction, [radius] * 4, mode=edges)
        sharpened: Tensor = functional.conv2d(padded, depthwise, groups=latent.shape[1]) * length
        return sharpened

    return operate


def operate_on_guidance(operation: LatentOperation) -> Stages:
    """An operation on the difference between positive and negative predictions."""

    def before(step: Step) -> Predictions:
        return Predictions(operation(step.cond - step.uncond) + step.uncond, step.uncond)

    return Stages(before=(before,))
