"""Noise: recorded draws, and what must not depend on what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.diffusion.noise import brownian_noise, gaussian_noise, start_noise

LATENT = torch.zeros(1, 4, 8, 8)
FIRST = [1.92692, 1.48728, 0.90072, -2.10552]
SECOND = [-0.68548, 0.56356, -1.50718, -1.61067]


def assert_begins(noise: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(noise.flatten()[: len(expected)], torch.tensor(expected), rtol=0, atol=1e-4)


def test_start_noise_is_the_recorded_one() -> None:
    assert_begins(start_noise(LATENT, 42), FIRST)


def test_sampler_noise_goes_on_where_the_seed_begins() -> None:
    draw = gaussian_noise(LATENT, 42)
    sigma = torch.tensor(1.0)
    assert_begins(draw(sigma, sigma), FIRST)
    assert_begins(draw(sigma, sigma), SECOND)
    assert_begins(gaussian_noise(LATENT, 42, skip=1)(sigma, sigma), SECOND)


def test_batch_index_chooses_rows_of_a_larger_batch() -> None:
    noise = start_noise(torch.zeros(3, 4, 4, 4), 7, [0, 2, 5])
    for row, expected in zip(noise, ([-0.82013, 0.39563], [0.5689, 0.13331], [-1.56649, 0.2654]), strict=True):
        assert_begins(row, expected)


@given(indices=st.lists(st.integers(0, 6), min_size=1, max_size=4))
def test_rows_with_equal_index_are_equal(indices: list[int]) -> None:
    noise = start_noise(torch.zeros(len(indices), 4, 2, 2), 5, indices)
    whole = start_noise(torch.zeros(7, 4, 2, 2), 5, range(7))
    assert torch.equal(noise, whole[indices])


@pytest.mark.parametrize("seed", [0, 2**32, 2**63, 2**64 - 1])
def test_all_64_bits_of_a_seed_count(seed: int) -> None:
    assert torch.isfinite(start_noise(LATENT, seed)).all()
    assert not torch.equal(start_noise(LATENT, seed), start_noise(LATENT, seed ^ 1))


def test_noise_takes_the_dtype_of_the_latent() -> None:
    assert start_noise(LATENT.half(), 42).dtype == torch.float16


def test_brownian_noise_is_the_recorded_one() -> None:
    draw = brownian_noise(torch.zeros(2, 4, 8, 8), torch.tensor([14.6, 0.03, 0.0]), 42)
    intervals = torch.tensor([14.6, 7.0, 3.0])
    assert_begins(draw(intervals[0], intervals[1]), [-0.85162, 0.26751, 0.72546, 0.64211])
    assert_begins(draw(intervals[1], intervals[2]), [-0.42096, -0.51225, -0.30621, 0.34469])


def test_brownian_intervals_add_up() -> None:
    draw = brownian_noise(LATENT, torch.tensor([10.0, 1.0]), 3)
    a, b, c = torch.tensor(9.0), torch.tensor(5.0), torch.tensor(2.0)
    parts = draw(a, b) * (a - b).sqrt() + draw(b, c) * (b - c).sqrt()
    torch.testing.assert_close(draw(a, c) * (a - c).sqrt(), parts, rtol=1e-4, atol=1e-4)


def test_brownian_noise_does_not_depend_on_the_order_of_questions() -> None:
    sigmas = torch.tensor([10.0, 4.0, 1.0])
    first, second = (brownian_noise(LATENT, sigmas, 3) for _ in range(2))
    expected = first(sigmas[1], sigmas[2])
    second(sigmas[0], sigmas[1])
    torch.testing.assert_close(second(sigmas[1], sigmas[2]), expected)
