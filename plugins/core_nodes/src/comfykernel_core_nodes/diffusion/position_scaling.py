"""Positions of a transformer's patches, scaled and moved before they become rotations (Su et al. 2021)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.hook_points import Point, Site

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AxisChange:
    """position * scale + shift, counted from the first patch of a picture."""

    scale: float = 1.0
    shift: float = 0.0


def scale_positions(
    model: DiffusionModel, *, index: AxisChange, rows: AxisChange, columns: AxisChange
) -> DiffusionModel:
    """A model that sees the patches of its pictures elsewhere: closer, farther apart, or moved.

    Models without rotations, such as UNets, stay as they are.
    """
    if "img_in.weight" not in model.weights.source.shapes:
        logger.warning("Positions can't be scaled: a model of the family %r has no rotations.", model.family)
        return model
    axes = (index, rows, columns)

    def change(positions: Tensor, _: Site) -> Tensor:
        first = positions[:1]
        scale = positions.new_tensor([axis.scale for axis in axes])
        return first + (positions - first) * scale + positions.new_tensor([axis.shift for axis in axes])

    return model.with_hook(Point.POSITIONS, change)
