"""Latent nodes against recorded numbers, and how they keep masks and batch indices in step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.latent import shapes as nodes

Normal = Callable[[str, Sequence[int]], Tensor]


def assert_recorded(got: Tensor, shape: tuple[int, ...], mean: float, values: list[float]) -> None:
    flat = got.flatten()
    places = [0, len(flat) // 3, len(flat) // 2, len(flat) - 1]
    assert tuple(got.shape) == shape
    assert float(flat.double().mean()) == pytest.approx(mean, abs=2e-5)
    assert [float(flat[p]) for p in places] == pytest.approx(values, abs=2e-5)


@pytest.mark.parametrize(
    ("method", "width", "height", "crop", "shape", "mean", "values"),
    [
        ("bislerp", 104, 88, "disabled", (1, 4, 11, 13), -0.008128, [0.65086, 0.43043, 0.33386, -0.10541]),
        ("bislerp", 64, 0, "disabled", (1, 4, 8, 8), -0.013431, [0.78791, -0.97347, 0.53158, -0.16253]),
        ("bicubic", 64, 64, "center", (1, 4, 8, 8), -0.014941, [1.08369, 0.57151, 1.27153, -0.24427]),
        ("area", 0, 96, "disabled", (1, 4, 12, 15), -0.006241, [0.65086, -0.42269, 0.33386, -0.10541]),
    ],
)
def test_latent_upscale(
    normal_tensor: Normal, method: str, width: int, height: int, crop: str,
    shape: tuple[int, ...], mean: float, values: list[float],
) -> None:  # fmt: skip
    latent = {"samples": normal_tensor("io/l", (1, 4, 8, 10))}
    assert_recorded(nodes.latent_upscale(latent, method, width, height, crop)["samples"], shape, mean, values)


def test_latent_upscale_by(normal_tensor: Normal) -> None:
    scaled = nodes.latent_upscale_by({"samples": normal_tensor("io/l", (1, 4, 8, 10))}, "bislerp", 2.3)
    assert_recorded(scaled["samples"], (1, 4, 18, 23), -0.00443, [0.65086, -1.11471, 0.33386, -0.10541])


@pytest.mark.parametrize("method", ["bilinear", "bislerp"])
def test_resizing_zeros_gives_zeros(method: str) -> None:
    scaled = nodes.latent_upscale_by({"samples": torch.zeros(2, 4, 3, 5)}, method, 2.0)
    assert torch.equal(scaled["samples"], torch.zeros(2, 4, 6, 10))


def test_latent_upscale_keeps_what_else_the_latent_has() -> None:
    mask = torch.ones(1, 1, 64, 64)
    scaled = nodes.latent_upscale_by({"samples": torch.zeros(1, 4, 8, 8), "noise_mask": mask}, "area", 2.0)
    assert scaled["noise_mask"] is mask


def test_empty_latent_image() -> None:
    samples = nodes.empty_latent_image(520, 256, 3)["samples"]
    assert tuple(samples.shape) == (3, 4, 32, 65)
    assert not samples.any()


def test_latent_composite_feathers_inner_edges(normal_tensor: Normal) -> None:
    base, pasted = {"samples": normal_tensor("io/l", (1, 4, 8, 10))}, {"samples": normal_tensor("io/ls", (1, 4, 4, 5))}
    at_corner = nodes.latent_composite(base, pasted, 56, 40, 8)["samples"]
    assert_recorded(at_corner, (1, 4, 8, 10), 0.034078, [0.65086, 0.57151, 0.33386, -1.41335])
    at_origin = nodes.latent_composite(base, pasted, 0, 0, 8)["samples"]
    assert_recorded(at_origin, (1, 4, 8, 10), -0.055884, [-0.53378, 0.57151, 0.43248, -0.10541])


def test_latent_composite_outside_changes_nothing(normal_tensor: Normal) -> None:
    base = {"samples": normal_tensor("io/l", (1, 4, 8, 10))}
    result = nodes.latent_composite(base, {"samples": torch.ones(1, 4, 4, 5)}, 160, 0, 8)
    assert torch.equal(result["samples"], base["samples"])


def test_repeat_latent_batch_gives_each_copy_its_own_noise() -> None:
    latent = {"samples": torch.zeros(2, 4, 8, 8), "batch_index": [4, 5], "noise_mask": torch.ones(1, 1, 64, 64)}
    repeated = nodes.repeat_latent_batch(latent, 3)
    assert repeated["samples"].shape[0] == 6
    assert repeated["batch_index"] == [4, 5, 6, 7, 8, 9]
    assert repeated["noise_mask"].shape[0] == 6


@pytest.mark.parametrize(("start", "length", "indices"), [(1, 2, [1, 2]), (2, 64, [2]), (9, 1, [2])])
def test_latent_from_batch_remembers_the_place(start: int, length: int, indices: list[int]) -> None:
    latent = {"samples": torch.arange(3.0).view(3, 1, 1, 1), "noise_mask": torch.arange(3.0).view(3, 1, 1, 1)}
    part = nodes.latent_from_batch(latent, start, length)
    assert part["batch_index"] == indices
    assert part["samples"].flatten().tolist() == indices
    assert part["noise_mask"].flatten().tolist() == indices


def test_latent_from_batch_keeps_earlier_indices() -> None:
    latent = {"samples": torch.zeros(3, 4, 8, 8), "batch_index": [7, 8, 9]}
    assert nodes.latent_from_batch(latent, 1, 1)["batch_index"] == [8]


def test_set_latent_noise_mask() -> None:
    masked = nodes.set_latent_noise_mask({"samples": torch.zeros(1, 4, 8, 8)}, torch.ones(2, 24, 20))
    assert tuple(masked["noise_mask"].shape) == (2, 1, 24, 20)
