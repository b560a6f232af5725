"""The node of differential diffusion."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.diffusion.guidance.masks import differential_diffusion
from comfykernel_core_nodes.nodes.guidance.declarations import BareModel, OpenModel, declared
from comfykernel_sdk.sockets import Float


@declared(
    "nodes_differential_diffusion",
    "DifferentialDiffusion",
    "_for_testing",
    "Differential Diffusion",
    experimental=True,
)
def differential_diffusion_node(
    model: OpenModel,
    strength: Annotated[float | None, Float(default=1.0, min=0.0, max=1.0, step=0.01)] = 1.0,
) -> BareModel:
    """Let soft noise masks say for how long each place of a picture may change."""
    return model.with_guidance(differential_diffusion(1.0 if strength is None else strength))
