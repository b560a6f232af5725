"""Nodes that say how strengths of hooks change over the run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.condition_hooks import with_hook_keyframes
from comfykernel_core_nodes.diffusion.keyframes import (
    Interpolation,
    Keyframe,
    Keyframes,
    evenly_spaced,
    interpolated,
    with_keyframes,
)
from comfykernel_core_nodes.nodes.hooks.sockets import (
    EndPercent,
    Hooks,
    MaybeKeyframes,
    OutKeyframes,
    StartPercent,
    hook_node,
)
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Int, Socket, Toggle

logger = logging.getLogger(__name__)

SCHEDULING: Final = "advanced/hooks/scheduling"

Multiplier: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=10.0, step=0.001)]
Printed: TypeAlias = Annotated[bool, Toggle(default=False)]


@hook_node("SetHookKeyframes", category=SCHEDULING, display_name="Set Hook Keyframes")
def set_hook_keyframes(hooks: Hooks, hook_kf: MaybeKeyframes = None) -> Hooks:
    """Give hooks strengths over the run, which multiply their own."""
    return hooks if hook_kf is None else with_hook_keyframes(hooks, hook_kf)


@hook_node("CreateHookKeyframe", category=SCHEDULING, display_name="Create Hook Keyframe")
def create_hook_keyframe(
    strength_mult: Annotated[float, Float(default=1.0, min=-20.0, max=20.0, step=0.01)],
    start_percent: StartPercent,
    prev_hook_kf: MaybeKeyframes = None,
) -> OutKeyframes:
    """Let a strength act from a point of the run on."""
    return with_keyframes(prev_hook_kf or (), [Keyframe(start_percent, strength_mult)])


@hook_node("CreateHookKeyframesInterpolated", category=SCHEDULING, display_name="Create Hook Keyframes Interp.")
def create_hook_keyframes_interpolated(
    strength_start: Multiplier,
    strength_end: Multiplier,
    interpolation: Annotated[Interpolation, Choice(bare=True)],
    start_percent: StartPercent,
    end_percent: EndPercent,
    keyframes_count: Annotated[int, Int(default=5, min=2, max=100, step=1)],
    print_keyframes: Printed,
    prev_hook_kf: MaybeKeyframes = None,
) -> OutKeyframes:
    """Let a strength go from one value to another in equal steps of the run."""
    strengths = interpolated(strength_start, strength_end, keyframes_count, interpolation)
    return _spaced(strengths, start_percent, end_percent, prev_hook_kf, shown=print_keyframes)


@hook_node("CreateHookKeyframesFromFloats", category=SCHEDULING, display_name="Create Hook Keyframes From Floats")
def create_hook_keyframes_from_floats(
    floats_strength: Annotated[
        Sequence[float] | float,
        Socket("FLOATS", options={"default": -1, "min": -1, "step": 0.001}, force_input=True, bare=False),
    ],
    start_percent: StartPercent,
    end_percent: EndPercent,
    print_keyframes: Printed,
    prev_hook_kf: MaybeKeyframes = None,
) -> OutKeyframes:
    """Let the strengths of a list act one after the other, in equal steps of the run.

    Raises:
        BadInput: the strengths are no numbers.
    """
    strengths = [floats_strength] if isinstance(floats_strength, int | float) else list(floats_strength)
    if not strengths or not all(isinstance(strength, int | float) for strength in strengths):
        raise BadInput(
            "The strengths of keyframes must be one number or a list of numbers.",
            hint="Connect a node that gives FLOATS.",
        )
    return _spaced(strengths, start_percent, end_percent, prev_hook_kf, shown=print_keyframes)


def _spaced(
    strengths: Sequence[float], start: float, end: float, before: Keyframes | None, *, shown: bool
) -> Keyframes:
    added = evenly_spaced(strengths, start, end)
    if shown:
        for keyframe in added:
            logger.info(
                "Keyframe of hooks: strength %g from %g of the run on", keyframe.strength, keyframe.start_percent
            )
    return with_keyframes(before or (), added)
