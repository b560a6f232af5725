"""Schedules from published tables, and those that follow the size of the picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.diffusion import published_schedules as published
from comfykernel_core_nodes.diffusion import resolution_schedules as by_size
from comfykernel_core_nodes.diffusion.errors import InvalidSchedule, UnknownSchedule
from comfykernel_core_nodes.diffusion.schedules import laplace_sigmas, turbo_sigmas, variance_preserving_sigmas
from comfykernel_core_nodes.diffusion.sigmas import DiscreteLevels

COEFFICIENTS = tuple(published.gits_table().between)


def falls_to_zero(sigmas: torch.Tensor) -> bool:
    return bool((sigmas[:-1] > sigmas[1:]).all()) and float(sigmas[-1]) == 0.0


def test_every_gits_row_is_a_falling_schedule_of_its_steps() -> None:
    for name in COEFFICIENTS:
        for steps in range(2, 21):
            sigmas = published.gits(float(name), steps)
            assert len(sigmas) == steps + 1
            assert falls_to_zero(sigmas)
    assert len(COEFFICIENTS) == 15


@given(steps=st.integers(1, 300), model=st.sampled_from(published.AYS_MODELS))
def test_align_your_steps_falls_whatever_the_steps(steps: int, model: str) -> None:
    sigmas = published.align_your_steps(model, steps)
    assert len(sigmas) == steps + 1
    assert falls_to_zero(sigmas)


@given(steps=st.integers(3, 300), model=st.sampled_from(sorted(published.OSS_SIGMAS)))
def test_optimal_steps_fall_whatever_the_steps(steps: int, model: str) -> None:
    sigmas = published.optimal_steps(model, steps)
    assert len(sigmas) == steps + 1
    assert falls_to_zero(sigmas)


@given(steps=st.integers(2, 60), denoise=st.floats(0.01, 1.0))
def test_denoise_gives_the_last_steps_of_the_schedule(steps: int, denoise: float) -> None:
    whole, part = published.gits(1.2, steps), published.gits(1.2, steps, denoise=denoise)
    assert len(part) == round(steps * denoise) + 1
    torch.testing.assert_close(part, whole[-len(part) :])


def test_published_numbers() -> None:
    sdxl = published.align_your_steps("SDXL", 5)
    torch.testing.assert_close(sdxl, torch.tensor([14.614641, 3.768179, 1.340524, 0.555069, 0.233236, 0.0]))
    wan = published.optimal_steps("Wan", 3)
    torch.testing.assert_close(wan, torch.tensor([1.0, 0.985666, 0.939624, 0.0]), rtol=1e-5, atol=1e-6)
    gits = published.gits(1.15, 6)
    torch.testing.assert_close(gits, torch.tensor([14.614641, 5.855201, 2.450703, 1.241532, 0.595163, 0.250534, 0.0]))
    assert len(published.gits(1.0, 10, denoise=0.0)) == 0


def test_what_has_no_published_schedule_is_told() -> None:
    with pytest.raises(InvalidSchedule, match=r"1\.23.*0\.80 to 1\.50"):
        published.gits(1.23, 10)
    with pytest.raises(InvalidSchedule, match="1 steps"):
        published.gits(1.2, 1)
    with pytest.raises(UnknownSchedule, match="SD1, SDXL, SVD"):
        published.align_your_steps("SD3", 10)


@given(steps=st.integers(1, 100), width=st.integers(16, 4096), height=st.integers(16, 4096))
def test_schedules_by_size_fall_from_noise_to_zero(steps: int, width: int, height: int) -> None:
    for sigmas in (by_size.flux2_sigmas(steps, width, height), by_size.ltxv_sigmas(steps, width)):
        assert len(sigmas) == steps + 1
        assert float(sigmas[0]) == pytest.approx(1.0)
        assert falls_to_zero(sigmas)


@given(steps=st.integers(1, 60), size=st.integers(256, 4096), std=st.floats(0.5, 3.0))
def test_ideogram_schedule_falls_and_larger_pictures_stay_noisy_longer(steps: int, size: int, std: float) -> None:
    sigmas = by_size.ideogram4_sigmas(steps, size, size, std=std)
    assert len(sigmas) == steps + 1
    assert bool((sigmas[:-1] >= sigmas[1:]).all())
    larger = by_size.ideogram4_sigmas(steps, 2 * size, 2 * size, std=std)
    assert bool((larger >= sigmas - 1e-6).all())


def test_ltxv_stretches_to_the_terminal_level() -> None:
    torch.testing.assert_close(
        by_size.ltxv_sigmas(4), torch.tensor([1.0, 0.867083, 0.631569, 0.1, 0.0]), rtol=1e-5, atol=1e-6
    )
    assert float(by_size.ltxv_sigmas(4, terminal=None)[-2]) == pytest.approx(0.721394, rel=1e-5)
    assert by_size.ltxv_sigmas(1).tolist() == pytest.approx([1.0, 0.0])


@given(steps=st.integers(2, 50), mu=st.floats(-2, 2), beta=st.floats(0.1, 2))
def test_laplace_schedule_lies_between_its_bounds(steps: int, mu: float, beta: float) -> None:
    sigmas = laplace_sigmas(steps, 0.03, 14.0, mu, beta)
    assert len(sigmas) == steps
    assert bool((sigmas[:-1] >= sigmas[1:]).all())
    assert 0.0299 < float(sigmas.min()) <= float(sigmas.max()) < 14.01


@given(steps=st.integers(1, 10), tenths=st.integers(0, 10))
def test_turbo_schedule_visits_every_hundredth_timestep(steps: int, tenths: int) -> None:
    levels = DiscreteLevels.scaled_linear()
    sigmas = turbo_sigmas(levels, steps, tenths / 10)
    assert falls_to_zero(sigmas)
    assert len(sigmas) == min(steps, int(10 * (tenths / 10))) + 1
    assert all((int(levels.timestep(sigma)) + 1) % 100 == 0 for sigma in sigmas[:-1])


def test_variance_preserving_schedule() -> None:
    sigmas = variance_preserving_sigmas(2)
    torch.testing.assert_close(sigmas, torch.tensor([152.166977, 0.010486, 0.0]), rtol=1e-5, atol=1e-6)
