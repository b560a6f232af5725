"""Image nodes against recorded numbers: shape, mean and the values at 0, 1/3, 1/2 and the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from comfykernel_core_nodes.nodes.image import transform as nodes

Recorded = tuple[tuple[int, ...], float, list[float]]


def assert_recorded(got: Tensor, want: Recorded, tolerance: float = 2e-5) -> None:
    shape, mean, values = want
    flat = got.flatten()
    places = [0, len(flat) // 3, len(flat) // 2, len(flat) - 1]
    assert tuple(got.shape) == shape
    assert float(flat.double().mean()) == pytest.approx(mean, abs=tolerance)
    assert [float(flat[p]) for p in places] == pytest.approx(values, abs=tolerance)


@pytest.mark.parametrize(
    ("method", "width", "height", "crop", "want"),
    [
        ("bicubic", 40, 16, "center", ((1, 16, 40, 3), 0.488076, [0.54634, 0.42312, 0.48187, 0.58079])),
        ("area", 9, 11, "disabled", ((1, 11, 9, 3), 0.494531, [0.55727, 0.45112, 0.31885, 0.44387])),
        ("nearest-exact", 10, 30, "center", ((1, 30, 10, 3), 0.478485, [0.78488, 0.56758, 0.31045, 0.32612])),
        ("lanczos", 33, 41, "disabled", ((1, 41, 33, 3), 0.493727, [0.53725, 0.51373, 0.3098, 0.36078])),
    ],
)
def test_image_scale(
    wavy_image: Callable[..., Tensor], method: str, width: int, height: int, crop: str, want: Recorded
) -> None:
    assert_recorded(nodes.image_scale(wavy_image("io/a", 1, 24, 20), method, width, height, crop), want)


def test_image_scale_keeps_alpha(wavy_image: Callable[..., Tensor]) -> None:
    scaled = nodes.image_scale(wavy_image("io/rgba", 1, 24, 20, 4), "bilinear", 31, 17, "disabled")
    assert_recorded(scaled, ((1, 17, 31, 4), 0.498487, [0.54478, 0.77452, 0.57334, 0.32301]))


@pytest.mark.parametrize(
    ("width", "height", "shape"), [(0, 36, (36, 30)), (30, 0, (36, 30)), (0, 0, (24, 20)), (0, 1, (1, 1))]
)
def test_image_scale_completes_a_side_of_zero(width: int, height: int, shape: tuple[int, int]) -> None:
    scaled = nodes.image_scale(torch.zeros(1, 24, 20, 3), "area", width, height, "disabled")
    assert tuple(scaled.shape[1:3]) == shape


def test_image_scale_by(wavy_image: Callable[..., Tensor]) -> None:
    scaled = nodes.image_scale_by(wavy_image("io/a", 1, 24, 20), "bilinear", 1.37)
    assert_recorded(scaled, ((1, 33, 27, 3), 0.495575, [0.53648, 0.53772, 0.31105, 0.37875]))


def test_image_scale_by_leaves_a_pixel() -> None:
    assert tuple(nodes.image_scale_by(torch.zeros(1, 4, 4, 3), "bilinear", 0.01).shape) == (1, 1, 1, 3)


@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    channels=st.sampled_from([1, 3, 4]),
    method=st.sampled_from(["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]),
    crop=st.sampled_from(["disabled", "center"]),
)
def test_resizing_a_plain_image_keeps_its_colour(
    width: int, height: int, channels: int, method: str, crop: str
) -> None:
    scaled = nodes.image_scale(torch.full((2, 7, 5, channels), 0.6), method, width, height, crop)
    assert tuple(scaled.shape) == (2, height, width, channels)
    assert torch.allclose(scaled, torch.tensor(0.6), atol=1e-5)


def test_image_batch_fits_the_second_to_the_first(wavy_image: Callable[..., Tensor]) -> None:
    joined = nodes.image_batch(wavy_image("io/a", 1, 24, 20), wavy_image("io/c", 1, 16, 30))
    assert_recorded(joined, ((2, 24, 20, 3), 0.486989, [0.53648, 0.53355, 0.78708, 0.42544]))


def test_image_batch_makes_missing_alpha_opaque() -> None:
    joined = nodes.image_batch(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 4))
    assert joined[0, 0, 0].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert joined[1, 0, 0].tolist() == [0.0, 0.0, 0.0, 0.0]


def test_empty_image_has_the_colour() -> None:
    image = nodes.empty_image(5, 4, 2, 0x10FF30)
    assert tuple(image.shape) == (2, 4, 5, 3)
    assert (image * 255).round().unique(dim=0).squeeze(0)[0, 0].tolist() == [16, 255, 48]


def test_image_invert_twice_is_the_image(wavy_image: Callable[..., Tensor]) -> None:
    image = wavy_image("io/a", 1, 4, 4)
    assert torch.allclose(nodes.image_invert(nodes.image_invert(image)), image)
    assert float(nodes.image_invert(image)[0, 0, 0, 0]) == pytest.approx(1 - float(image[0, 0, 0, 0]))


def test_image_pad_for_outpaint_feathers_padded_edges(wavy_image: Callable[..., Tensor]) -> None:
    padded, mask = nodes.image_pad_for_outpaint(wavy_image("io/a", 1, 24, 20), 8, 0, 16, 8, 4)
    assert_recorded(padded, ((1, 32, 44, 3), 0.498529, [0.5, 0.5, 0.5, 0.5]))
    assert_recorded(mask, ((1, 32, 44), 0.715465, [1.0, 1.0, 1.0, 1.0]))
    assert mask[0, 10, 8:13].tolist() == pytest.approx([1.0, 0.5625, 0.25, 0.0625, 0.0])


def test_image_crop_stays_inside() -> None:
    image = torch.arange(24 * 20).float().view(1, 24, 20, 1)
    assert tuple(nodes.image_crop(image, 100, 100, 15, 20).shape) == (1, 4, 5, 1)
    assert nodes.image_crop(image, 5, 5, 50, 50).flatten().tolist() == [479.0]


def test_image_flip_and_rotate() -> None:
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 2, 1)
    assert nodes.image_flip(image, "x-axis: vertically").flatten().tolist() == [3, 4, 1, 2]
    assert nodes.image_flip(image, "y-axis: horizontally").flatten().tolist() == [2, 1, 4, 3]
    assert nodes.image_rotate(image, "90 degrees").flatten().tolist() == [3, 1, 4, 2]
    assert nodes.image_rotate(image, "270 degrees").flatten().tolist() == [2, 4, 1, 3]
