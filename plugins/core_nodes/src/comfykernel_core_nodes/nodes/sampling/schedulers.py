"""Nodes that make schedules from formulas."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.diffusion import schedules
from comfykernel_core_nodes.diffusion.errors import InvalidSchedule
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sampling.widgets import Denoise, ScheduleSteps, SigmaMax, SigmaMin, Sigmas, amount
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.sockets import Choice, Float, Int

CATEGORY = "sampling/custom_sampling/schedulers"

_node = extra_node("nodes_custom_sampler")


@_node("BasicScheduler", category=CATEGORY, display_name="BasicScheduler")
def basic_scheduler(
    model: Model,
    scheduler: Annotated[str, Choice(*schedules.SCHEDULES, bare=True)],
    steps: ScheduleSteps,
    denoise: Denoise,
) -> Sigmas:
    """The noise levels that a sampler of this model visits."""
    with reported():
        return schedules.shortened_sigmas(model.sampling.levels, scheduler, steps, denoise)


@_node("KarrasScheduler", category=CATEGORY, display_name="KarrasScheduler")
def karras_scheduler(
    steps: ScheduleSteps, sigma_max: SigmaMax, sigma_min: SigmaMin, rho: Annotated[float, amount(7.0)]
) -> Sigmas:
    """Levels that are even after taking the root of degree rho (Karras et al. 2022)."""
    with reported():
        if rho <= 0:
            raise InvalidSchedule("rho is 0, and there is no root of degree 0.", "7 is usual.")
        return schedules.karras_sigmas(steps, sigma_min, sigma_max, rho)


@_node("ExponentialScheduler", category=CATEGORY, display_name="ExponentialScheduler")
def exponential_scheduler(steps: ScheduleSteps, sigma_max: SigmaMax, sigma_min: SigmaMin) -> Sigmas:
    """Levels that are even in their logarithm."""
    with reported():
        _check_positive(sigma_max, sigma_min)
        return schedules.exponential_sigmas(steps, sigma_min, sigma_max)


@_node("PolyexponentialScheduler", category=CATEGORY, display_name="PolyexponentialScheduler")
def polyexponential_scheduler(
    steps: ScheduleSteps, sigma_max: SigmaMax, sigma_min: SigmaMin, rho: Annotated[float, amount(1.0)]
) -> Sigmas:
    """Powers of an even ramp in the logarithm of the level."""
    with reported():
        _check_positive(sigma_max, sigma_min)
        return schedules.polyexponential_sigmas(steps, sigma_min, sigma_max, rho)


@_node("LaplaceScheduler", category=CATEGORY, display_name="LaplaceScheduler")
def laplace_scheduler(
    steps: ScheduleSteps,
    sigma_max: SigmaMax,
    sigma_min: SigmaMin,
    mu: Annotated[float, amount(0.0, min=-10.0, max=10.0, step=0.1)],
    beta: Annotated[float, amount(0.5, max=10.0, step=0.1)],
) -> Sigmas:
    """Many levels around exp(mu), fewer away from it; they do not end in 0."""
    return schedules.laplace_sigmas(steps, sigma_min, sigma_max, mu, beta)


@_node("SDTurboScheduler", category=CATEGORY, display_name="SDTurboScheduler")
def sd_turbo_scheduler(
    model: Model,
    steps: Annotated[int, Int(default=1, min=1, max=10)],
    denoise: Annotated[float, Float(default=1.0, min=0, max=1.0, step=0.01)],
) -> Sigmas:
    """The levels that SD Turbo and SDXL Turbo were distilled for."""
    return schedules.turbo_sigmas(model.sampling.levels, steps, denoise)


@_node("VPScheduler", category=CATEGORY, display_name="VPScheduler")
def vp_scheduler(
    steps: ScheduleSteps,
    beta_d: Annotated[float, amount(19.9, max=5000.0)],
    beta_min: Annotated[float, amount(0.1, max=5000.0)],
    eps_s: Annotated[float, amount(0.001, max=1.0, step=0.0001)],
) -> Sigmas:
    """Even times of a variance-preserving process."""
    with reported():
        sigmas = schedules.variance_preserving_sigmas(steps, beta_d, beta_min, eps_s)
        if not bool(sigmas.isfinite().all()):
            found = f"beta_d {beta_d:g} with beta_min {beta_min:g} gives noise levels beyond every number."
            raise InvalidSchedule(found, "Together they should stay below about 170.")
        return sigmas


@_node("BetaSamplingScheduler", category=CATEGORY, display_name="BetaSamplingScheduler")
def beta_sampling_scheduler(
    model: Model,
    steps: ScheduleSteps,
    alpha: Annotated[float, amount(0.6, max=50.0)],
    beta: Annotated[float, amount(0.6, max=50.0)],
) -> Sigmas:
    """Levels of the model at quantiles of a beta distribution."""
    with reported():
        if alpha <= 0 or beta <= 0:
            raise InvalidSchedule(f"alpha is {alpha:g} and beta {beta:g}; both must be above 0.", "0.6 is usual.")
        return schedules.beta_sigmas(model.sampling.levels, steps, alpha, beta)


def _check_positive(sigma_max: float, sigma_min: float) -> None:
    if sigma_max <= 0 or sigma_min <= 0:
        found = f"sigma_max is {sigma_max:g} and sigma_min {sigma_min:g}; a level of 0 has no logarithm."
        raise InvalidSchedule(found, "Both must be above 0; the schedule ends in 0 by itself.")
