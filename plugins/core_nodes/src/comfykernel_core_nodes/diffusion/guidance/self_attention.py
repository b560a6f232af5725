"""Self-attention guidance: away from a pass in which what the model attends to most is blurred.

Source: Hong et al. 2022 (arXiv:2210.00939), algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.perturbed import MIDDLE, attention_of
from comfykernel_core_nodes.diffusion.guidance.predictions import Side
from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Predict, Stages, Step
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks, Point, Site
from comfykernel_core_nodes.diffusion.transformer_parts import heads_first

# Mean attention that a place gets is 1; what gets more is blurred.
THRESHOLD: Final = 1.0
BLUR_SIDE: Final = 9
NEGATIVE: Final = 1


def self_attention_guidance(scale: float, blur_sigma: float) -> Callable[[GuidedRun], Stages]:
    """Guidance by one more negative pass over the blurred prediction; blur_sigma is in latent units."""

    def start(run: GuidedRun) -> Stages:
        attention = attention_of(run)
        received: list[Tensor] = []

        def record(q: Tensor, k: Tensor, v: Tensor, site: Site) -> Tensor:
            if (site.block, site.number, site.index) == (*MIDDLE, 0) and NEGATIVE in site.call.sides:
                received[:] = [_attention_received(q, k, site)]
            return attention(q, k, v, site)

        def around(predict: Predict, own: Tensor, sigma: Tensor) -> Predict:
            def predicted(
                sides: Sequence[Side | None], *, x: Tensor | None = None, hooks: Hooks = NO_HOOKS
            ) -> list[Tensor]:
                received.clear()
                return predict(sides, x=x, hooks=hooks.with_function(Point.SELF_ATTENTION, record))

            return predicted

        def after(denoised: Tensor, step: Step) -> Tensor:
            if step.negative is None or not received or min(denoised.shape[2:]) <= BLUR_SIDE // 2:
                return denoised
            degraded = _blurred_where_attended(step.uncond, received[0], blur_sigma)
            (seen,) = step.predict([step.negative], x=degraded + step.x - step.uncond)
            return denoised + (degraded - seen) * scale

        return Stages(around_sides=(around,), after=(after,), needs_negative=True)

    return start


def _attention_received(q: Tensor, k: Tensor, site: Site) -> Tensor:
    """What each token gets from all others, mean over the heads, in the rows of the negative side: [rows, tokens]."""
    rows = len(q) // len(site.call.sides)
    start = rows * site.call.sides.index(NEGATIVE)
    queries, keys = (heads_first(tokens[start : start + rows], site.heads).float() for tokens in (q, k))
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    received: Tensor = scores.softmax(dim=-1).mean(dim=1).sum(dim=1)
    return received


def _blurred_where_attended(latent: Tensor, received: Tensor, blur_sigma: float) -> Tensor:
    """A latent [batch, channel, height, width] blurred where received attention [batch, tokens] is high."""
    height, width = latent.shape[2:]
    rows, columns = height, width
    while rows * columns > received.shape[1]:
        rows, columns = math.ceil(rows / 2), math.ceil(columns / 2)
    if rows * columns != received.shape[1] or len(received) != len(latent):
        return latent
    attended = (received > THRESHOLD).to(latent.dtype).view(-1, 1, rows, columns)
    mask = functional.interpolate(attended, (height, width))
    return blurred(latent, BLUR_SIDE, blur_sigma) * mask + latent * (1.0 - mask)


def blurred(maps: Tensor, side: int, sigma: float) -> Tensor:
    """Gaussian blur of maps [batch, channel, height, width] with mirrored edges; side: of the kernel, odd."""
    if sigma <= 0:
        return maps
    places = torch.arange(side, device=maps.device, dtype=maps.dtype) - side // 2
    weights = (-0.5 * (places / sigma) ** 2).exp()
    weights = weights / weights.sum()
    kernel = torch.outer(weights, weights).expand(maps.shape[1], 1, -1, -1)
    padded = functional.pad(maps, [side // 2] * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=maps.shape[1])
