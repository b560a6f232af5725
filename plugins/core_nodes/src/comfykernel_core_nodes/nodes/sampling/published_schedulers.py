"""Nodes that make schedules from published tables, and schedules that follow the size of the picture."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated

from comfykernel_core_nodes.diffusion import published_schedules, resolution_schedules
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sampling.widgets import Denoise, ScheduleSteps, Sigmas
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, MOST_STEPS
from comfykernel_sdk.sockets import Choice, Float, Int, LatentDict, Socket, Toggle

CATEGORY = "sampling/custom_sampling/schedulers"

_flags = {"category": CATEGORY, "deprecated": False, "experimental": False, "api_node": False}
_ays_node = partial(extra_node("nodes_align_your_steps"), **_flags)
_gits_node = partial(extra_node("nodes_gits"), **_flags)
_oss_node = partial(extra_node("nodes_optimalsteps"), **_flags)
_ltxv_node = partial(extra_node("nodes_lt"), **_flags)
_flux_node = partial(extra_node("nodes_flux"), **_flags)
_ideogram_node = partial(extra_node("nodes_ideogram4"), **_flags)


def _models(*names: str) -> Choice:
    return Choice(*names, as_list=False, options={"multiselect": False})


@_ays_node("AlignYourStepsScheduler")
def align_your_steps_scheduler(
    model_type: Annotated[str, _models(*published_schedules.AYS_MODELS)],
    steps: Annotated[int, Int(default=10, min=1, max=MOST_STEPS)],
    denoise: Denoise,
) -> Sigmas:
    """Levels that were searched for ten steps of these models; other numbers of steps lie in between."""
    with reported():
        return published_schedules.align_your_steps(model_type, steps, denoise=denoise)


@_gits_node("GITSScheduler")
def gits_scheduler(
    coeff: Annotated[float, Float(default=1.2, min=0.8, max=1.5, step=0.05)],
    steps: Annotated[int, Int(default=10, min=2, max=1000)],
    denoise: Denoise,
) -> Sigmas:
    """Levels that follow how Stable Diffusion's paths bend; a higher coefficient spends more steps on low noise."""
    with reported():
        return published_schedules.gits(coeff, steps, denoise=denoise)


@_oss_node("OptimalStepsScheduler")
def optimal_steps_scheduler(
    model_type: Annotated[str, _models(*published_schedules.OSS_SIGMAS)],
    steps: Annotated[int, Int(default=20, min=3, max=1000)],
    denoise: Denoise,
) -> Sigmas:
    """Levels of fewest errors that were searched for these flow models."""
    with reported():
        return published_schedules.optimal_steps(model_type, steps, denoise=denoise)


@_ltxv_node("LTXVScheduler")
def ltxv_scheduler(
    steps: ScheduleSteps,
    max_shift: Annotated[float, Float(default=2.05, min=0.0, max=100.0, step=0.01)],
    base_shift: Annotated[float, Float(default=0.95, min=0.0, max=100.0, step=0.01)],
    stretch: Annotated[bool, Toggle(default=True, tooltip="Stretch the levels so that the last one is the terminal.")],
    terminal: Annotated[
        float, Float(default=0.1, min=0.0, max=0.99, step=0.01, tooltip="The last level before 0 when stretched.")
    ],
    latent: Annotated[LatentDict | None, Socket("LATENT", bare=False)] = None,
) -> Sigmas:
    """Levels of LTX-Video, shifted by the size of the latent."""
    with reported():
        return resolution_schedules.ltxv_sigmas(
            steps,
            latent_positions(latent),
            base_shift=base_shift,
            max_shift=max_shift,
            terminal=terminal if stretch else None,
        )


def latent_positions(latent: LatentDict | None) -> int:
    """Positions of a latent over which a shift is set; those of a large video without one."""
    return math.prod(latent["samples"].shape[2:]) if latent else resolution_schedules.LTXV_MOST_TOKENS


@_flux_node("Flux2Scheduler")
def flux2_scheduler(
    steps: Annotated[int, Int(default=20, min=1, max=4096)],
    width: Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=1)],
    height: Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=1)],
) -> Sigmas:
    """Levels of FLUX.2, shifted by the size of the picture and the number of steps."""
    return resolution_schedules.flux2_sigmas(steps, width, height)


@_ideogram_node("Ideogram4Scheduler")
def ideogram4_scheduler(
    steps: Annotated[int, Int(default=20, min=1, max=200)],
    width: Annotated[int, Int(default=1024, min=256, max=8192, step=16)],
    height: Annotated[int, Int(default=1024, min=256, max=8192, step=16)],
    mu: Annotated[float, Float(default=0.0, min=-10.0, max=10.0, step=0.05)],
    std: Annotated[float, Float(default=1.75, min=0.1, max=5.0, step=0.05)],
) -> Sigmas:
    """Levels of Ideogram 4: spread normally over log-odds, around a mean that follows the size of the picture."""
    return resolution_schedules.ideogram4_sigmas(steps, width, height, mu=mu, std=std)
