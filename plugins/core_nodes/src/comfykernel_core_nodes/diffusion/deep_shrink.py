"""Deep shrink: a UNet's inner blocks work on smaller maps in the first steps (Kohya 2023).

Beyond the size that a model was trained for, its early steps lay the picture out several times; smaller maps stop that.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.hook_points import Point, Site
from comfykernel_core_nodes.diffusion.unet_facts import unet_channels

# Brings maps [batch, channel, height, width] to a (width, height).
Resize = Callable[[Tensor, int, int], Tensor]


def deep_shrink(
    model: DiffusionModel,
    *,
    block: int,
    factor: float,
    start_percent: float,
    end_percent: float,
    after_skip: bool,
    shrink: Resize,
    enlarge: Resize,
) -> DiffusionModel:
    """A model that divides its maps' sides by `factor` behind an input block, and undoes it where skips are joined.

    start_percent, end_percent: the part of a run in which it does so, 0..1. after_skip: what is kept for the output
    half has its size still.
    """
    unet_channels(model, "Deep shrink")
    sigma_start = model.sampling.levels.percent_to_sigma(start_percent)
    sigma_end = model.sampling.levels.percent_to_sigma(end_percent)

    def smaller(x: Tensor, site: Site) -> Tensor:
        sigma = site.call.sigma
        if site.number != block or sigma is None or not sigma_end <= float(sigma[0]) <= sigma_start:
            return x
        return shrink(x, round(x.shape[-1] / factor), round(x.shape[-2] / factor))

    def fitted(x: Tensor, skip: Tensor, _: Site) -> tuple[Tensor, Tensor]:
        if x.shape[-2:] != skip.shape[-2:]:
            x = enlarge(x, skip.shape[-1], skip.shape[-2])
        return x, skip

    point = Point.INPUT_BLOCK_ONWARD if after_skip else Point.INPUT_BLOCK
    return model.with_hook(point, smaller).with_hook(Point.OUTPUT_BLOCK, fitted)
