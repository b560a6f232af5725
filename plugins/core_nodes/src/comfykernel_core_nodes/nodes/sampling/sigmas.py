"""Nodes that change schedules, and that read single noise levels."""

from __future__ import annotations

import math
from typing import Annotated

from comfykernel_core_nodes.diffusion import sigma_edits
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sampling.widgets import Denoise, OpenModel, Sigmas, amount
from comfykernel_core_nodes.nodes.sockets import MOST_STEPS
from comfykernel_sdk.sockets import Choice, Float, Int, Out, Text, Toggle

CATEGORY = "sampling/custom_sampling/sigmas"
# Stands for "from the highest level".
FROM_THE_TOP = -1.0

_node = extra_node("nodes_custom_sampler")


@_node("SplitSigmas", category=CATEGORY, display_name="SplitSigmas")
def split_sigmas(
    sigmas: Sigmas, step: Annotated[int, Int(default=0, min=0, max=MOST_STEPS)]
) -> tuple[Annotated[Sigmas, Out("high_sigmas")], Annotated[Sigmas, Out("low_sigmas")]]:
    """Cut a schedule in two after a number of steps."""
    return sigma_edits.split_at(sigmas, step)


@_node("SplitSigmasDenoise", category=CATEGORY, display_name="SplitSigmasDenoise")
def split_sigmas_denoise(
    sigmas: Sigmas, denoise: Denoise
) -> tuple[Annotated[Sigmas, Out("high_sigmas")], Annotated[Sigmas, Out("low_sigmas")]]:
    """Cut a schedule in two so that the second part has a share of the steps."""
    return sigma_edits.split_by_denoise(sigmas, denoise)


@_node("FlipSigmas", category=CATEGORY, display_name="FlipSigmas")
def flip_sigmas(sigmas: Sigmas) -> Sigmas:
    """Turn a schedule around: sampling over it adds noise step by step."""
    return sigma_edits.flipped(sigmas)


@_node("SetFirstSigma", category=CATEGORY, display_name="SetFirstSigma")
def set_first_sigma(sigmas: Sigmas, sigma: Annotated[float, amount(136.0, max=20000.0, step=0.001)]) -> Sigmas:
    """Start a schedule at another noise level."""
    with reported():
        return sigma_edits.with_first(sigmas, sigma)


@_node("ExtendIntermediateSigmas", category=CATEGORY, display_name="ExtendIntermediateSigmas")
def extend_intermediate_sigmas(
    sigmas: Sigmas,
    steps: Annotated[int, Int(default=2, min=1, max=100)],
    start_at_sigma: Annotated[float, amount(-1.0, min=-1.0, max=20000.0)],
    end_at_sigma: Annotated[float, amount(12.0, max=20000.0)],
    spacing: Annotated[str, Choice(*sigma_edits.SPACINGS, bare=True)],
) -> Sigmas:
    """Cut each step that starts between two noise levels into several."""
    highest = math.inf if start_at_sigma < 0 else start_at_sigma
    return sigma_edits.with_levels_between(sigmas, steps, highest=highest, lowest=end_at_sigma, spacing=spacing)


@_node("SamplingPercentToSigma", category=CATEGORY, display_name="SamplingPercentToSigma")
def sampling_percent_to_sigma(
    model: OpenModel,
    sampling_percent: Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.0001)],
    return_actual_sigma: Annotated[
        bool, Toggle(default=False, tooltip="At the ends, give the model's levels instead of those that include all.")
    ],
) -> Annotated[float, Out("sigma_value")]:
    """The noise level that a model has at a progress of sampling, from 0 (pure noise) to 1."""
    sampling = model.sampling
    if return_actual_sigma and sampling_percent in (0.0, 1.0):
        return sampling.sigma_max if sampling_percent == 0.0 else sampling.sigma_min
    return float(sampling.levels.percent_to_sigma(sampling_percent))


@_node("ManualSigmas", category=CATEGORY, experimental=True, deprecated=False, api_node=False)
def manual_sigmas(sigmas: Annotated[str, Text(default="1, 0.5", multiline=False)]) -> Sigmas:
    """A schedule written by hand: numbers with anything in between."""
    with reported():
        return sigma_edits.read_sigmas(sigmas)
