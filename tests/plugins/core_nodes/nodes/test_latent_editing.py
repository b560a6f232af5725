"""Latents that are added, mixed, joined, cut and turned."""

from __future__ import annotations

import pytest
import torch

from comfykernel_core_nodes.nodes.latent import arithmetic, joining, turning
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import LatentDict


def latent(*shape: int, **more: object) -> LatentDict:
    return {"samples": torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))), **more}  # type: ignore[typeddict-item]


def shape(result: LatentDict) -> tuple[int, ...]:
    return tuple(result["samples"].shape)


def test_sums_fit_the_second_to_the_first() -> None:
    first, second = latent(3, 4, 8, 10), latent(2, 4, 4, 5)
    total = arithmetic.latent_add(first, second)
    back = arithmetic.latent_subtract(total, second)
    assert shape(total) == (3, 4, 8, 10)
    assert torch.allclose(back["samples"], first["samples"], atol=1e-5)
    assert torch.equal(arithmetic.latent_multiply(first, -2.0)["samples"], first["samples"] * -2.0)


def test_frames_are_resized_one_by_one() -> None:
    assert shape(arithmetic.latent_add(latent(1, 4, 3, 8, 8), latent(1, 4, 3, 4, 4))) == (1, 4, 3, 8, 8)
    with pytest.raises(BadInput, match="same channels"):
        arithmetic.latent_add(latent(1, 4, 8, 8), latent(1, 16, 8, 8))


def test_interpolation_ends_and_length() -> None:
    first, second = latent(1, 4, 3, 3), latent(1, 4, 3, 4)
    same = {"samples": second["samples"][..., :3]}
    assert torch.allclose(arithmetic.latent_interpolate(first, same, 1.0)["samples"], first["samples"], atol=1e-5)
    middle = arithmetic.latent_interpolate(first, same, 0.5)["samples"].norm(dim=1)
    want = (first["samples"].norm(dim=1) + same["samples"].norm(dim=1)) / 2
    assert torch.allclose(middle, want, atol=1e-5)
    nothing = {"samples": torch.zeros(1, 4, 3, 3)}
    assert arithmetic.latent_interpolate(nothing, nothing, 0.5)["samples"].isfinite().all()


def test_blend_keeps_what_else_is_in_the_first() -> None:
    mask = torch.ones(1, 1, 8, 8)
    blended = arithmetic.latent_blend(latent(1, 4, 8, 10, noise_mask=mask), latent(1, 4, 4, 5), 0.5)
    assert shape(blended) == (1, 4, 8, 10)
    assert blended["noise_mask"] is mask


def test_joined_batches_keep_their_indices() -> None:
    joined = joining.latent_batch(latent(2, 4, 8, 8, batch_index=[5, 6]), latent(1, 4, 4, 4))
    assert (shape(joined), joined["batch_index"]) == ((3, 4, 8, 8), [5, 6, 0])


def test_seed_behaviour() -> None:
    batch = latent(3, 4, 2, 2, batch_index=[7, 8, 9])
    assert joining.latent_batch_seed_behavior(batch, "fixed")["batch_index"] == [7, 7, 7]
    assert "batch_index" not in joining.latent_batch_seed_behavior(batch, "random")
    assert batch["batch_index"] == [7, 8, 9]


@pytest.mark.parametrize(("dim", "want"), [("x", (2, 4, 8, 20)), ("-y", (2, 4, 16, 10)), ("t", (2, 8, 8, 10))])
def test_concatenated(dim: str, want: tuple[int, ...]) -> None:
    first, second = latent(2, 4, 8, 10), latent(1, 4, 8, 10)
    assert shape(joining.latent_concat(first, second, dim)) == want


def test_concatenated_sizes_must_fit() -> None:
    with pytest.raises(BadInput, match="can't be joined along x"):
        joining.latent_concat(latent(1, 4, 8, 10), latent(1, 4, 6, 10), "x")


@pytest.mark.parametrize(
    ("index", "amount", "want"), [(0, 3, [0, 1, 2]), (-2, 9, [3, 4]), (-99, 2, [0, 1]), (99, 5, [4])]
)
def test_cut(index: int, amount: int, want: list[int]) -> None:
    row = {"samples": torch.arange(5.0).view(1, 1, 1, 5)}
    assert joining.latent_cut(row, "x", index, amount)["samples"].flatten().tolist() == want


def test_slices_become_a_batch() -> None:
    video = latent(2, 4, 5, 8, 10)
    cut = joining.latent_cut_to_batch(video, "t", 2)["samples"]
    assert tuple(cut.shape) == (4, 4, 2, 8, 10)
    assert torch.equal(cut[1], video["samples"][0, :, 2:4])
    picture = latent(1, 4, 8, 10)
    assert joining.latent_cut_to_batch(picture, "t", 1) is picture
    assert shape(joining.latent_cut_to_batch(picture, "x", 99)) == (1, 4, 8, 10)


def test_rebatched_latents_number_their_samples() -> None:
    parts = joining.rebatch_latents([latent(3, 4, 8, 8), latent(2, 4, 8, 8, noise_mask=torch.zeros(1, 64, 64))], [2])
    assert [(shape(part)[0], part["batch_index"]) for part in parts] == [(2, [0, 1]), (2, [2, 3]), (1, [4])]
    assert ["noise_mask" in part for part in parts] == [False, True, True]
    assert parts[1]["noise_mask"].mean(dim=(1, 2, 3)).tolist() == [1.0, 0.0]


def test_rebatched_latents_start_anew_at_another_size() -> None:
    parts = joining.rebatch_latents([latent(1, 4, 8, 8), latent(3, 4, 8, 9)], [2])
    assert [shape(part) for part in parts] == [(1, 4, 8, 8), (2, 4, 8, 9), (1, 4, 8, 9)]


def test_turned_and_mirrored() -> None:
    tensor = torch.arange(6.0).view(1, 1, 2, 3)
    turned = {turn: turning.latent_rotate({"samples": tensor}, turn)["samples"] for turn in turning.QUARTER_TURNS}
    assert turned["90 degrees"][0, 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert torch.equal(turned["none"], tensor)
    assert torch.equal(turned["180 degrees"].flip(-1, -2), tensor)
    assert turning.latent_flip({"samples": tensor}, "x-axis: vertically")["samples"][0, 0, 0].tolist() == [3, 4, 5]
    assert turning.latent_flip({"samples": tensor}, "y-axis: horizontally")["samples"][0, 0, 0].tolist() == [2, 1, 0]


@pytest.mark.parametrize(("x", "y", "want"), [(0, 0, (8, 8)), (9999, 9999, (8, 8)), (80, 0, (8, 8))])
def test_cut_rectangle_keeps_its_least_side(x: int, y: int, want: tuple[int, int]) -> None:
    assert shape(turning.latent_crop(latent(1, 4, 16, 18), 64, 64, x, y))[-2:] == want
    assert shape(turning.latent_crop(latent(1, 4, 4, 5), 512, 512, 0, 0))[-2:] == (4, 5)
