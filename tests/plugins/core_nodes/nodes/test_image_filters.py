"""Blur, sharpening, blending, quantization, morphology, edges and brightness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.nodes.image import canny, filters, morphology, quantization

STEP = torch.cat([torch.zeros(1, 20, 10, 3), torch.ones(1, 20, 10, 3)], dim=2)


@pytest.mark.parametrize(("height", "width", "radius"), [(9, 7, 2), (3, 4, 31), (1, 1, 5)])
def test_blur_keeps_a_plain_picture(height: int, width: int, radius: int) -> None:
    plain = torch.full((2, height, width, 4), 0.3)
    assert torch.allclose(filters.image_blur(plain, radius, 1.5), plain, atol=1e-6)
    assert torch.allclose(filters.image_sharpen(plain, radius, 0.5, 2.0), plain, atol=1e-5)


def test_blur_softens_and_sharpening_hardens_an_edge() -> None:
    soft = filters.image_blur(STEP, 3, 1.0)
    assert 0.1 < float(soft[0, 5, 9, 0]) < 0.5
    assert torch.allclose(filters.image_sharpen(STEP, 1, 1.0, 0.0), STEP, atol=1e-6)
    assert float(filters.image_sharpen(soft, 1, 1.0, 1.0)[0, 5, 9, 0]) < float(soft[0, 5, 9, 0])


@pytest.mark.parametrize("mode", filters.BLENDS)
def test_blend_of_factor_zero_is_the_first_and_stays_in_range(mode: str) -> None:
    below, above = torch.rand(2, 5, 6, 3), torch.rand(1, 8, 4, 4)
    assert torch.equal(filters.image_blend(below, above, 0.0, mode), below)
    mixed = filters.image_blend(below, above, 1.0, mode)
    assert tuple(mixed.shape) == (2, 5, 6, 3)
    assert 0.0 <= float(mixed.min()) <= float(mixed.max()) <= 1.0


def test_noise_depends_on_the_seed_alone() -> None:
    grey = torch.full((1, 4, 4, 3), 0.5)
    first, again, other = (filters.image_add_noise(grey, seed, 0.1) for seed in (7, 7, 2**64 - 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dither", quantization.DITHERS)
@pytest.mark.parametrize("colours", [1, 2, 8])
def test_quantized_picture_has_few_colours(dither: str, colours: int) -> None:
    picture = torch.rand(1, 17, 19, 3)
    reduced = quantization.image_quantize(picture, colours, dither)
    assert len(reduced.reshape(-1, 3).unique(dim=0)) <= colours
    assert tuple(reduced.shape) == (1, 17, 19, 3)


@pytest.mark.parametrize("order", [2, 4, 8, 16])
def test_bayer_thresholds_are_evenly_spaced(order: int) -> None:
    levels = np.sort(quantization.bayer_pattern(order).flatten())
    assert np.allclose(np.diff(levels), 1.0 / order**2)
    assert np.isclose(levels.mean(), 0.0, atol=1e-6)


@given(size=st.integers(3, 12), seed=st.integers(0, 99))
def test_morphology_laws(size: int, seed: int) -> None:
    image = torch.rand(1, 2, 7, 9, generator=torch.Generator().manual_seed(seed))
    small, large = morphology.eroded(image, size), morphology.dilated(image, size)
    assert bool((small <= image).all())
    assert bool((image <= large).all())
    opened = morphology.opened(image, 3)
    assert torch.allclose(morphology.opened(opened, 3), opened)
    assert bool((opened <= image).all())


def test_dilation_grows_a_point_to_a_square_even_at_the_border() -> None:
    point = torch.zeros(1, 5, 5, 1)
    point[0, 0, 2, 0] = 1.0
    grown = morphology.morphology(point, "dilate", 3)[0, ..., 0]
    assert grown[:2, 1:4].min() == 1.0
    assert float(grown.sum()) == 6.0
    huge = morphology.morphology(point, "dilate", 998)
    assert huge.min() == 1.0


def test_brightness_and_differences_come_back() -> None:
    picture = torch.rand(2, 4, 5, 3)
    y, u, v = morphology.image_rgb_to_yuv(picture)
    assert torch.allclose(morphology.image_yuv_to_rgb(y, u, v), picture, atol=1e-5)


def test_edge_is_found_where_it_is_and_thin() -> None:
    found = canny.canny(STEP, 0.1, 0.3)
    assert tuple(found.shape) == (1, 20, 20, 3)
    columns = found[0, 10, :, 0].nonzero().flatten().tolist()
    assert columns
    assert set(columns) <= {9, 10}
    assert not canny.canny(torch.full((1, 3, 2, 1), 0.5), 0.1, 0.3).any()


def test_weak_edges_count_only_where_they_touch_strong_ones() -> None:
    fading = STEP * torch.linspace(1.0, 0.15, 20).view(1, 20, 1, 1)
    assert canny.edges(fading, 0.05, 0.9)[0, 18].any()
    assert not canny.edges(fading, 0.8, 0.9)[0, 18].any()
    assert not canny.edges(STEP * 0.15, 0.05, 0.9).any()
