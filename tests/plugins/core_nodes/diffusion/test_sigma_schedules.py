"""Schedules: recorded values, shortening by denoise, and parts of a run."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.diffusion.errors import UnknownSchedule
from comfykernel_core_nodes.diffusion.schedules import (
    DISCARD_PENULTIMATE,
    SCHEDULES,
    polyexponential_sigmas,
    sampler_sigmas,
    schedule_sigmas,
    shortened_sigmas,
    step_range,
)
from comfykernel_core_nodes.diffusion.sigmas import DiscreteLevels, FlowLevels

LEVELS = DiscreteLevels.scaled_linear()
RECORDED = {
    "simple": [14.61464, 2.91831, 0.93236, 0.0],
    "sgm_uniform": [14.61464, 5.09241, 2.27973, 1.16286, 0.57119, 0.0],
    "karras": [14.61464, 1.2741, 0.02917, 0.0],
    "exponential": [14.61464, 3.08898, 0.65289, 0.138, 0.02917, 0.0],
    "ddim_uniform": [2.92955, 0.93551, 0.04131, 0.0],
    "beta": [14.61464, 7.37184, 2.61524, 1.02733, 0.39551, 0.0],
    "normal": [14.61464, 4.08608, 1.61558, 0.69515, 0.02917, 0.0],
    "linear_quadratic": [14.61464, 14.43196, 14.24928, 12.54423, 7.79448, 0.0],
    "kl_optimal": [14.61463, 0.96159, 0.02917, 0.0],
}
names = st.sampled_from(sorted(SCHEDULES))


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_gives_the_recorded_levels(name: str) -> None:
    expected = torch.tensor(RECORDED[name])
    torch.testing.assert_close(schedule_sigmas(LEVELS, name, len(expected) - 1), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("denoise", "expected"),
    [
        (0.75, [4.08608, 1.61558, 0.69515, 0.02917, 0.0]),
        (0.5, [1.27683, 0.79126, 0.43967, 0.02917, 0.0]),
        (0.1, [0.29092, 0.22873, 0.15673, 0.02917, 0.0]),
        (0.0, []),
    ],
)
def test_denoise_takes_the_end_of_a_longer_schedule(denoise: float, expected: list[float]) -> None:
    for sigmas in (
        sampler_sigmas(LEVELS, "normal", 4, denoise=denoise),
        shortened_sigmas(LEVELS, "normal", 4, denoise),
    ):
        torch.testing.assert_close(sigmas, torch.tensor(expected), rtol=1e-4, atol=1e-5)


@given(name=names, steps=st.integers(2, 60))
def test_levels_fall_to_zero_within_the_model(name: str, steps: int) -> None:
    for levels in (LEVELS, FlowLevels(3.0)):
        sigmas = schedule_sigmas(levels, name, steps)
        assert sigmas.dtype == torch.float32
        assert float(sigmas[-1]) == 0.0
        assert bool((sigmas.diff() < 0).all())
        assert float(sigmas[0]) <= float(levels.sigmas[-1]) * (1 + 1e-5)


@given(name=names, steps=st.integers(2, 30), denoise=st.floats(0.05, 1.0))
def test_looking_ahead_costs_no_step(name: str, steps: int, denoise: float) -> None:
    plain = sampler_sigmas(LEVELS, name, steps, denoise=denoise)
    for sampler in DISCARD_PENULTIMATE:
        ahead = sampler_sigmas(LEVELS, name, steps, sampler=sampler, denoise=denoise)
        assert float(ahead[-1]) == 0.0
        assert abs(len(ahead) - len(plain)) <= 1


@given(start=st.integers(0, 12), end=st.none() | st.integers(0, 12))
def test_two_parts_of_a_run_make_the_whole(start: int, end: int | None) -> None:
    whole = schedule_sigmas(LEVELS, "karras", 8)
    part = step_range(whole, start, end)
    stop = 8 if end is None or end >= 8 else end
    assert part.tolist() == (whole[start : stop + 1].tolist() if start < stop else [])


def test_early_end_can_be_made_final() -> None:
    whole = schedule_sigmas(LEVELS, "karras", 8)
    assert float(step_range(whole, 0, 3, full_denoise=True)[-1]) == 0.0
    assert float(step_range(whole, 0, 3)[-1]) > 0.0
    assert float(whole[3]) > 0.0


def test_polyexponential_is_exponential_at_rho_one() -> None:
    torch.testing.assert_close(
        polyexponential_sigmas(5, 0.0291675, 14.614642), torch.tensor(RECORDED["exponential"]), rtol=1e-4, atol=1e-5
    )


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownSchedule, match=r"no schedule 'kerras'.*karras"):
        schedule_sigmas(LEVELS, "kerras", 4)
