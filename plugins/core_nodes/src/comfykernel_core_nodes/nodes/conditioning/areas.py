"""Nodes that say where in the picture, how strongly and when a condition acts."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.conditioning import Area, Conditioning
from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Conditions
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Int, Mask

video_node = extra_node("nodes_video_model")

LATENT_UNIT: Final = 8
"""Pixels that a step of an area is wide."""

Extent: TypeAlias = Annotated[int, Int(default=64, min=64, max=MAX_SIDE, step=8)]
Place: TypeAlias = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=8)]
Share: TypeAlias = Annotated[float, Float(default=1.0, min=0, max=1.0, step=0.01)]
PlaceShare: TypeAlias = Annotated[float, Float(default=0, min=0, max=1.0, step=0.01)]
AreaStrength: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=10.0, step=0.01)]


@core_node("ConditioningSetArea", category="conditioning", display_name="Conditioning (Set Area)")
def conditioning_set_area(
    conditioning: Conditions, width: Extent, height: Extent, x: Place, y: Place, strength: AreaStrength
) -> Conditions:
    """Let conditions act in a rectangle of the picture, given in pixels."""
    area = Area(height // LATENT_UNIT, width // LATENT_UNIT, y // LATENT_UNIT, x // LATENT_UNIT)
    return _changed(conditioning, area=area, strength=strength, mask_bounds=False)


@core_node(
    "ConditioningSetAreaPercentage", category="conditioning", display_name="Conditioning (Set Area with Percentage)"
)
def conditioning_set_area_percentage(
    conditioning: Conditions, width: Share, height: Share, x: PlaceShare, y: PlaceShare, strength: AreaStrength
) -> Conditions:
    """Let conditions act in a rectangle, given in parts of the picture's sides."""
    return _changed(conditioning, area=Area(height, width, y, x, relative=True), strength=strength, mask_bounds=False)


@video_node("ConditioningSetAreaPercentageVideo", category="conditioning")
def conditioning_set_area_percentage_video(
    conditioning: Conditions,
    width: Share,
    height: Share,
    temporal: Share,
    x: PlaceShare,
    y: PlaceShare,
    z: PlaceShare,
    strength: AreaStrength,
) -> Conditions:
    """Let conditions act in a part of every frame, for a part of the frames.

    The models that are built in make single pictures, so that the frames (temporal, z) are kept for other families.
    """
    area = Area(height, width, y, x, relative=True)
    extra = {"area_frames": (temporal, z)}
    return [
        each.with_changes(area=area, strength=strength, mask_bounds=False, extra={**each.extra, **extra})
        for each in conditioning
    ]


@core_node("ConditioningSetAreaStrength", category="conditioning")
def conditioning_set_area_strength(conditioning: Conditions, strength: AreaStrength) -> Conditions:
    """Set how much conditions weigh against others in the same place."""
    return _changed(conditioning, strength=strength)


@core_node("ConditioningSetMask", category="conditioning", display_name="Conditioning (Set Mask)")
def conditioning_set_mask(
    conditioning: Conditions,
    mask: Mask,
    strength: AreaStrength,
    set_cond_area: Annotated[str, Choice("default", "mask bounds", bare=True)],
) -> Conditions:
    """Let conditions act where a mask is white; with "mask bounds" nothing around it is computed for them."""
    maps = mask if mask.ndim > 2 else mask.unsqueeze(0)
    return _changed(conditioning, mask=maps, mask_strength=strength, mask_bounds=set_cond_area != "default")


@core_node("ConditioningSetTimestepRange", category="advanced/conditioning")
def conditioning_set_timestep_range(
    conditioning: Conditions,
    start: Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.001)],
    end: Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.001)],
) -> Conditions:
    """Let conditions act during a part of the run: 0 is its begin, 1 its end.

    Raises:
        BadInput: the range ends before it starts.
    """
    if end < start:
        message = f"The range starts at {start:g} and ends before, at {end:g}: the condition would never act."
        raise BadInput(message, type="invalid_range", hint="Let end be start or more.")
    return _changed(conditioning, start_percent=start, end_percent=end)


def _changed(conditions: list[Conditioning], **changes: object) -> list[Conditioning]:
    return [condition.with_changes(**changes) for condition in conditions]
