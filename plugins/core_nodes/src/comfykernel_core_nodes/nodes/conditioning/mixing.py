"""Nodes that make conditions of others."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.diffusion.condition_mixing import averaged, concatenated, zeroed
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_sdk.sockets import Float


@core_node("ConditioningAverage", category="conditioning")
def conditioning_average(
    conditioning_to: Conditions,
    conditioning_from: Conditions,
    conditioning_to_strength: Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.01)],
) -> Conditions:
    """Mix two texts: 1 is conditioning_to alone, 0 conditioning_from alone.

    Raises:
        BadInput: conditioning_from is empty, or the two come from different kinds of text models.
    """
    with reported():
        return averaged(conditioning_to, conditioning_from, conditioning_to_strength)


@core_node("ConditioningConcat", category="conditioning", display_name="Conditioning (Concat)")
def conditioning_concat(conditioning_to: Conditions, conditioning_from: Conditions) -> Conditions:
    """Let one text follow another, each encoded by itself.

    Raises:
        BadInput: conditioning_from is empty, or the two come from different kinds of text models.
    """
    with reported():
        return concatenated(conditioning_to, conditioning_from)


@core_node("ConditioningZeroOut", category="advanced/conditioning")
def conditioning_zero_out(conditioning: Conditions) -> Conditions:
    """Make conditions that say nothing: all their numbers are zero. For some models a better negative than no text."""
    return zeroed(conditioning)
