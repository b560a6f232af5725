"""Sigma schedules: the decreasing noise levels a sampler visits, float32 [steps + 1], usually ending in 0."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.special import betaincinv  # type: ignore[import-untyped]
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import InvalidSchedule, UnknownSchedule
from comfykernel_core_nodes.diffusion.sigmas import TRAINING_STEPS, NoiseLevels, sigma_max, sigma_min

Schedule = Callable[[NoiseLevels, int], Tensor]

# Samplers that look one level ahead and would spend a call between the last level and 0.
DISCARD_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
# Keeps the logarithm at the ends of the Laplace schedule finite.
LAPLACE_EPSILON = 1e-5
# Timesteps that a model of few steps was trained for.
TURBO_STEPS = 10
# A denoise this close to 1 counts as a full run.
FULL_DENOISE = 0.9999


def with_final_zero(sigmas: Tensor) -> Tensor:
    """Append sigma 0."""
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def karras_sigmas(steps: int, smallest: float, largest: float, rho: float = 7.0) -> Tensor:
    """Karras et al. 2022 (arXiv:2206.00364), eq. 5."""
    ramp = torch.linspace(0, 1, steps)
    low, high = smallest ** (1 / rho), largest ** (1 / rho)
    return with_final_zero((high + ramp * (low - high)) ** rho)


def exponential_sigmas(steps: int, smallest: float, largest: float) -> Tensor:
    """Even steps in log(sigma)."""
    return with_final_zero(torch.linspace(math.log(largest), math.log(smallest), steps).exp())


def polyexponential_sigmas(steps: int, smallest: float, largest: float, rho: float = 1.0) -> Tensor:
    """Powers of an even ramp in log(sigma)."""
    ramp = torch.linspace(1, 0, steps) ** rho
    low = math.log(smallest)
    return with_final_zero((ramp * (math.log(largest) - low) + low).exp())


def laplace_sigmas(steps: int, smallest: float, largest: float, mu: float = 0.0, beta: float = 0.5) -> Tensor:
    """Quantiles of a Laplace distribution over log(sigma) (Hang et al. 2024, arXiv:2407.03297), without a final 0.

    `mu` is its centre, `beta` its width; the ends are the bounds.
    """
    centred = 0.5 - torch.linspace(0, 1, steps)
    logs = mu - beta * centred.sign() * (1 - 2 * centred.abs() + LAPLACE_EPSILON).log()
    return logs.exp().clamp(smallest, largest)


def variance_preserving_sigmas(
    steps: int, beta_slope: float = 19.9, beta_min: float = 0.1, last_time: float = 1e-3
) -> Tensor:
    """Even times of a variance-preserving process with a linear beta (Song et al. 2020, arXiv:2011.13456).

    Times fall from 1 to `last_time`, then to 0.
    """
    time = torch.linspace(1, last_time, steps)
    return with_final_zero((beta_slope * time**2 / 2 + beta_min * time).expm1().sqrt())


def turbo_sigmas(levels: NoiseLevels, steps: int, denoise: float = 1.0) -> Tensor:
    """Steps of models that adversarial distillation trained for 1 to 10 (Sauer et al. 2023, arXiv:2311.17042).

    Every hundredth timestep from the noisiest, of which `denoise` leaves out the first ones.
    """
    trained = torch.arange(TURBO_STEPS, 0, -1) * (TRAINING_STEPS // TURBO_STEPS) - 1
    first = TURBO_STEPS - int(TURBO_STEPS * denoise)
    return with_final_zero(levels.sigma(trained[first : first + steps]))


def _table(levels: NoiseLevels, indices: list[int]) -> Tensor:
    return torch.tensor([float(levels.sigmas[i]) for i in indices] + [0.0])


def _simple(levels: NoiseLevels, steps: int) -> Tensor:
    """Even steps through the table, from its end."""
    stride = len(levels.sigmas) / steps
    return _table(levels, [-(1 + int(i * stride)) for i in range(steps)])


def _ddim_uniform(levels: NoiseLevels, steps: int) -> Tensor:
    """Even whole steps from the second level up (Song et al. 2020, arXiv:2010.02502), reversed."""
    starts_at_zero = math.isclose(float(levels.sigmas[1]), 0, abs_tol=1e-5)
    stride = max(len(levels.sigmas) // (steps + starts_at_zero), 1)
    chosen = [float(s) for s in levels.sigmas[1::stride]]
    return torch.tensor(chosen[::-1] + ([] if starts_at_zero else [0.0]))


def _normal(levels: NoiseLevels, steps: int) -> Tensor:
    """Even steps in the timestep, both ends included."""
    start, end = levels.timestep(sigma_max(levels)), levels.timestep(sigma_min(levels))
    if math.isclose(float(levels.sigma(end)), 0, abs_tol=1e-5):
        return _at_timesteps(levels, torch.linspace(float(start), float(end), steps + 1))
    return with_final_zero(_at_timesteps(levels, torch.linspace(float(start), float(end), steps)))


def _sgm_uniform(levels: NoiseLevels, steps: int) -> Tensor:
    """Even steps in the timestep without its lower end."""
    start, end = levels.timestep(sigma_max(levels)), levels.timestep(sigma_min(levels))
    return with_final_zero(_at_timesteps(levels, torch.linspace(float(start), float(end), steps + 1)[:-1]))


def _at_timesteps(levels: NoiseLevels, timesteps: Tensor) -> Tensor:
    return torch.tensor([float(levels.sigma(t)) for t in timesteps])


def beta_sigmas(levels: NoiseLevels, steps: int, alpha: float = 0.6, beta: float = 0.6) -> Tensor:
    """Steps at quantiles of a beta distribution (Lee et al. 2024, arXiv:2407.12173); equal neighbours are merged."""
    last = len(levels.sigmas) - 1
    indices: list[int] = []
    for i in range(steps):
        index = round(float(betaincinv(alpha, beta, 1.0 - i / steps)) * last)
        if not indices or index != indices[-1]:
            indices.append(index)
    return _table(levels, indices)


def linear_quadratic_sigmas(steps: int, largest: float, threshold: float = 0.025) -> Tensor:
    """A line up to `threshold`, then a parabola (Polyak et al. 2024, Movie Gen, arXiv:2410.13720)."""
    if steps == 1:
        return torch.tensor([1.0, 0.0]) * largest
    linear = steps // 2
    rest = steps - linear
    excess = linear - threshold * steps
    square = excess / (linear * rest**2)
    slope = threshold / linear - 2 * excess / rest**2
    progress = [i * threshold / linear for i in range(linear)]
    progress += [square * i**2 + slope * i + square * linear**2 for i in range(linear, steps)]
    return torch.tensor([1.0 - p for p in progress] + [0.0]) * largest


def kl_optimal_sigmas(steps: int, smallest: float, largest: float) -> Tensor:
    """Even steps in atan(sigma) (Sabour et al. 2024, Align Your Steps, arXiv:2404.14507, theorem 3.1)."""
    ramp = torch.arange(steps, dtype=torch.float32) / (steps - 1) if steps > 1 else torch.full((1,), math.nan)
    return with_final_zero((ramp * math.atan(smallest) + (1 - ramp) * math.atan(largest)).tan())


def _between_bounds(schedule: Callable[[int, float, float], Tensor]) -> Schedule:
    return lambda levels, steps: schedule(steps, float(sigma_min(levels)), float(sigma_max(levels)))


SCHEDULES: dict[str, Schedule] = {
    "simple": _simple,
    "sgm_uniform": _sgm_uniform,
    "karras": _between_bounds(karras_sigmas),
    "exponential": _between_bounds(exponential_sigmas),
    "ddim_uniform": _ddim_uniform,
    "beta": beta_sigmas,
    "normal": _normal,
    "linear_quadratic": lambda levels, steps: linear_quadratic_sigmas(steps, float(sigma_max(levels))),
    "kl_optimal": _between_bounds(kl_optimal_sigmas),
}


def schedule_sigmas(levels: NoiseLevels, name: str, steps: int) -> Tensor:
    """The named schedule.

    Raises `UnknownSchedule` with the names that exist, and `InvalidSchedule` for less than one step.
    """
    if name not in SCHEDULES:
        raise UnknownSchedule(name, sorted(SCHEDULES))
    if steps < 1:
        raise InvalidSchedule(f"A schedule of {steps} steps holds nothing to do.", "Take at least one step.")
    return SCHEDULES[name](levels, steps)


def shortened_sigmas(levels: NoiseLevels, name: str, steps: int, denoise: float) -> Tensor:
    """The last `steps` steps of a longer schedule, so that the run starts at a part `denoise` of the way.

    A denoise of 0 or less gives an empty schedule.
    """
    if denoise <= 0.0:
        return torch.empty(0)
    total = steps if denoise >= 1.0 else int(steps / denoise)
    return schedule_sigmas(levels, name, total)[-(steps + 1) :]


def sampler_sigmas(levels: NoiseLevels, name: str, steps: int, *, sampler: str = "", denoise: float = 1.0) -> Tensor:
    """The schedule a KSampler uses: shortened by `denoise`, and fitted to samplers that look one level ahead."""
    if denoise <= 0.0:
        return torch.empty(0)
    if denoise > FULL_DENOISE:
        return _for_sampler(levels, name, steps, sampler)
    return _for_sampler(levels, name, int(steps / denoise), sampler)[-(steps + 1) :]


def _for_sampler(levels: NoiseLevels, name: str, steps: int, sampler: str) -> Tensor:
    if sampler not in DISCARD_PENULTIMATE:
        return schedule_sigmas(levels, name, steps)
    sigmas = schedule_sigmas(levels, name, steps + 1)
    return torch.cat([sigmas[:-2], sigmas[-1:]])


def step_range(sigmas: Tensor, start: int = 0, end: int | None = None, *, full_denoise: bool = False) -> Tensor:
    """The part of a schedule between two steps; empty when nothing is left to do.

    `full_denoise` makes a schedule that was cut at `end` finish at sigma 0.
    """
    if end is not None and end < len(sigmas) - 1:
        sigmas = sigmas[: end + 1].clone()
        if full_denoise:
            sigmas[-1] = 0.0
    return sigmas[start:] if start < len(sigmas) - 1 else sigmas[:0]
