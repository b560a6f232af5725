"""Nodes that give conditions masks, hooks and ranges, and join them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, TypeAlias

from torch import Tensor

from comfykernel_core_nodes.diffusion.condition_hooks import ConditionHooks, with_hooks
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.nodes.hooks.sockets import (
    EndPercent,
    MaybeHooks,
    StartPercent,
    Timesteps,
    hook_node,
)
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_sdk.sockets import Choice, Float, Out, Socket

SINGLE: Final = "advanced/hooks/cond single"
PAIR: Final = "advanced/hooks/cond pair"

MaskStrength: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=10.0, step=0.01)]
MaskArea: TypeAlias = Annotated[str, Choice("default", "mask bounds", bare=True)]
MaybeMask: TypeAlias = Annotated[Tensor | None, Socket("MASK")]
MaybeTimesteps: TypeAlias = Annotated[tuple[float, float] | None, Socket("TIMESTEPS_RANGE")]
Pair: TypeAlias = tuple[Annotated[Conditions, Out("positive")], Annotated[Conditions, Out("negative")]]


@hook_node("ConditioningTimestepsRange", category="advanced/hooks", display_name="Timesteps Range")
def conditioning_timesteps_range(
    start_percent: StartPercent, end_percent: EndPercent
) -> tuple[
    Annotated[Timesteps, Out("TIMESTEPS_RANGE")],
    Annotated[Timesteps, Out("BEFORE_RANGE")],
    Annotated[Timesteps, Out("AFTER_RANGE")],
]:
    """Name a part of the run, and what is before and after it."""
    return (start_percent, end_percent), (0.0, start_percent), (end_percent, 1.0)


@hook_node("ConditioningSetProperties", category=SINGLE, display_name="Cond Set Props")
def conditioning_set_properties(
    cond_NEW: Conditions,
    strength: MaskStrength,
    set_cond_area: MaskArea,
    mask: MaybeMask = None,
    hooks: MaybeHooks = None,
    timesteps: MaybeTimesteps = None,
) -> Conditions:
    """Give conditions a mask with a strength, hooks, and a part of the run; what is left open stays as it is."""
    return _with_properties(cond_NEW, strength, set_cond_area, mask, hooks, timesteps)


@hook_node("ConditioningSetPropertiesAndCombine", category=SINGLE, display_name="Cond Set Props Combine")
def conditioning_set_properties_and_combine(
    cond: Conditions,
    cond_NEW: Conditions,
    strength: MaskStrength,
    set_cond_area: MaskArea,
    mask: MaybeMask = None,
    hooks: MaybeHooks = None,
    timesteps: MaybeTimesteps = None,
) -> Conditions:
    """Give new conditions a mask, hooks and a part of the run, and let them act besides others."""
    return [*cond, *_with_properties(cond_NEW, strength, set_cond_area, mask, hooks, timesteps)]


@hook_node("PairConditioningSetProperties", category=PAIR, display_name="Cond Pair Set Props")
def pair_conditioning_set_properties(
    positive_NEW: Conditions,
    negative_NEW: Conditions,
    strength: MaskStrength,
    set_cond_area: MaskArea,
    mask: MaybeMask = None,
    hooks: MaybeHooks = None,
    timesteps: MaybeTimesteps = None,
) -> Pair:
    """Give positive and negative conditions a mask with a strength, hooks, and a part of the run."""
    return (
        _with_properties(positive_NEW, strength, set_cond_area, mask, hooks, timesteps),
        _with_properties(negative_NEW, strength, set_cond_area, mask, hooks, timesteps),
    )


@hook_node("PairConditioningSetPropertiesAndCombine", category=PAIR, display_name="Cond Pair Set Props Combine")
def pair_conditioning_set_properties_and_combine(
    positive: Conditions,
    negative: Conditions,
    positive_NEW: Conditions,
    negative_NEW: Conditions,
    strength: MaskStrength,
    set_cond_area: MaskArea,
    mask: MaybeMask = None,
    hooks: MaybeHooks = None,
    timesteps: MaybeTimesteps = None,
) -> Pair:
    """Give new positive and negative conditions a mask, hooks and a part of the run, beside others."""
    return (
        [*positive, *_with_properties(positive_NEW, strength, set_cond_area, mask, hooks, timesteps)],
        [*negative, *_with_properties(negative_NEW, strength, set_cond_area, mask, hooks, timesteps)],
    )


@hook_node("ConditioningSetDefaultCombine", category=SINGLE, display_name="Cond Set Default Combine")
def conditioning_set_default_combine(
    cond: Conditions, cond_DEFAULT: Conditions, hooks: MaybeHooks = None
) -> Conditions:
    """Add conditions that act where the others do not."""
    return [*cond, *_as_default(cond_DEFAULT, hooks)]


@hook_node("PairConditioningSetDefaultCombine", category=PAIR, display_name="Cond Pair Set Default Combine")
def pair_conditioning_set_default_combine(
    positive: Conditions,
    negative: Conditions,
    positive_DEFAULT: Conditions,
    negative_DEFAULT: Conditions,
    hooks: MaybeHooks = None,
) -> Pair:
    """Add positive and negative conditions that act where the others do not."""
    return [*positive, *_as_default(positive_DEFAULT, hooks)], [*negative, *_as_default(negative_DEFAULT, hooks)]


@hook_node("PairConditioningCombine", category=PAIR, display_name="Cond Pair Combine")
def pair_conditioning_combine(
    positive_A: Conditions, negative_A: Conditions, positive_B: Conditions, negative_B: Conditions
) -> Pair:
    """Let two pairs of conditions act together."""
    return [*positive_A, *positive_B], [*negative_A, *negative_B]


def _with_properties(
    conditions: list[Conditioning],
    strength: float,
    area: str,
    mask: Tensor | None,
    hooks: ConditionHooks | None,
    timesteps: tuple[float, float] | None,
) -> list[Conditioning]:
    changes: dict[str, object] = {}
    if mask is not None:
        mask = mask if mask.ndim > 2 else mask[None]
        changes |= {"mask": mask, "mask_strength": strength, "mask_bounds": area != "default"}
    if timesteps is not None:
        changes |= {"start_percent": timesteps[0], "end_percent": timesteps[1]}
    return with_hooks([each.with_changes(**changes) for each in conditions], hooks or ())


def _as_default(conditions: list[Conditioning], hooks: ConditionHooks | None) -> list[Conditioning]:
    return [replace(each, default=True) for each in with_hooks(conditions, hooks or ())]
