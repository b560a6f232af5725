"""Nodes that let the scale of the guidance change over a run or over frames."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.guidance.scales import (
    linear_over_frames,
    override_scale,
    triangle_over_frames,
)
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.guidance.declarations import (
    BareModel,
    EndPercent,
    OpenModel,
    StartPercent,
    declared,
)
from comfykernel_sdk.sockets import Float

video_node = extra_node("nodes_video_model")

LowestScale: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=100.0, step=0.5, round=0.01)]


@video_node("VideoLinearCFGGuidance", category="sampling/video_models", display_name="VideoLinearCFGGuidance")
def video_linear_guidance(model: BareModel, min_cfg: LowestScale) -> BareModel:
    """Guide the first frame of a batch at the given scale, the last one at the sampler's."""
    return model.with_guidance(linear_over_frames(min_cfg))


@video_node("VideoTriangleCFGGuidance", category="sampling/video_models", display_name="VideoTriangleCFGGuidance")
def video_triangle_guidance(model: BareModel, min_cfg: LowestScale) -> BareModel:
    """Guide the outer frames of a batch at the given scale, the middle one at the sampler's."""
    return model.with_guidance(triangle_over_frames(min_cfg))


@declared("nodes_cfg", "CFGOverride", "advanced/guidance", "CFG Override")
def cfg_override(
    model: OpenModel,
    cfg: Annotated[float, Float(default=1.0, min=0.0, max=100.0, step=0.1)],
    start_percent: StartPercent,
    end_percent: EndPercent,
) -> BareModel:
    """Guide a part of the run at a scale of its own; of several such nodes the one next to the sampler counts."""
    return model.with_guidance(override_scale(cfg, start_percent, end_percent))
