"""The node that changes where a transformer sees the patches of a picture."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.position_scaling import AxisChange, scale_positions
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.sockets import Float

position_node = extra_node("nodes_rope")

Scale: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=100.0, step=0.1)]
Shift: TypeAlias = Annotated[float, Float(default=0.0, min=-256.0, max=256.0, step=0.1)]


@position_node("ScaleROPE", category="advanced/model_patches", experimental=True)
def scale_rope(
    model: Model, scale_x: Scale, shift_x: Shift, scale_y: Scale, shift_y: Shift, scale_t: Scale, shift_t: Shift
) -> Model:
    """Scale and move the positions of a transformer's patches: across, down, and in the order of pictures."""
    return scale_positions(
        model, index=AxisChange(scale_t, shift_t), rows=AxisChange(scale_y, shift_y),
        columns=AxisChange(scale_x, shift_x),
    )  # fmt: skip
