"""Batches of images, sizes and stitching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from comfykernel_core_nodes.nodes.image import batches, sizes, stitching
from comfykernel_core_nodes.nodes.image.channels import cycled, last_repeated, opaque
from comfykernel_core_nodes.nodes.image.cropping import starts
from comfykernel_sdk.errors import BadInput


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


def images(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.full(shape, float(number)) for number, shape in enumerate(shapes)]


def test_missing_alpha_is_opaque_and_what_is_too_much_goes() -> None:
    grey = torch.zeros(1, 2, 2, 3)
    assert opaque(grey, 4)[..., 3].unique().tolist() == [1.0]
    assert opaque(opaque(grey, 4), 3).shape[-1] == 3


def test_batches_of_another_length() -> None:
    rows = torch.tensor([0.0, 1.0, 2.0])
    assert cycled(rows, 5).tolist() == [0, 1, 2, 0, 1]
    assert cycled(rows, 2).tolist() == [0, 1]
    assert last_repeated(rows, 5).tolist() == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(("index", "length", "want"), [(0, 1, [0]), (1, 5, [1, 2]), (9, 4, [2])])
def test_image_from_batch(index: int, length: int, want: list[int]) -> None:
    batch = torch.arange(3.0).view(3, 1, 1, 1)
    assert batches.image_from_batch(batch, index, length).flatten().tolist() == want


def test_rebatched_images_keep_their_order_and_split_where_the_size_changes() -> None:
    parts = images((3, 2, 2, 3), (1, 2, 2, 3), (2, 5, 2, 3))
    rebatched = batches.rebatch_images(parts, [2])
    assert [tuple(part.shape[:3]) for part in rebatched] == [(2, 2, 2), (2, 2, 2), (2, 5, 2)]
    assert [float(part[-1].mean()) for part in rebatched] == [0.0, 1.0, 2.0]


def test_size_is_told_as_text_too(run: Any) -> None:
    told: list[str] = []
    run.context.text = lambda text: told.append(text)
    assert run.node("GetImageSize", image=torch.zeros(2, 3, 5, 3)) == (5, 3, 2)
    assert told == ["width: 5, height: 3\n batch size: 2"]


def test_growing_batch_fits_the_first_and_ignores_gaps(run: Any) -> None:
    first, second = torch.zeros(1, 4, 6, 3), torch.ones(2, 8, 3, 4)
    joined = run.node("BatchImagesNode", **{"images.image0": first, "images.image3": second})
    assert tuple(joined.shape) == (3, 4, 6, 4)
    assert joined[0, ..., 3].unique().tolist() == [1.0]
    with pytest.raises(BadInput, match="No image is linked"):
        batches.batch_images([])


def test_growing_batch_of_masks(run: Any) -> None:
    masks = {"masks.mask0": torch.zeros(4, 6), "masks.mask1": torch.ones(2, 9, 9)}
    assert tuple(run.node("BatchMasksNode", **masks).shape) == (3, 4, 6)


@pytest.mark.parametrize(
    ("side", "want"), [(0, (24, 20)), (48, (48, 40)), (1, (1, 1)), (7, (7, 6))], ids=["unchanged", "x2", "one", "odd"]
)
def test_longest_side(side: int, want: tuple[int, int]) -> None:
    scaled = sizes.image_scale_to_max_dimension(torch.zeros(1, 24, 20, 3), "area", side)
    assert tuple(scaled.shape[1:3]) == want


def test_total_of_pixels_keeps_the_proportion() -> None:
    scaled = sizes.image_scale_to_total_pixels(torch.zeros(1, 24, 20, 3), "bilinear", 0.01)
    assert tuple(scaled.shape[1:3]) == (112, 93)
    thin = sizes.image_scale_to_total_pixels(torch.zeros(1, 1, 4000, 3), "bilinear", 0.01)
    assert thin.shape[1] >= 1


def test_padded_picture_lies_in_the_middle() -> None:
    padded = sizes.resize_and_pad_image(torch.zeros(1, 10, 20, 3), 20, 30, "white", "area")
    assert tuple(padded.shape) == (1, 30, 20, 3)
    rows = padded[0, :, 0, 0].tolist()
    assert rows == [1.0] * 10 + [0.0] * 10 + [1.0] * 10


@pytest.mark.parametrize(
    ("direction", "match", "spacing", "want"),
    [
        ("right", True, 4, (24, 69)),
        ("down", True, 4, (38, 20)),
        ("left", False, 3, (24, 54)),
        ("up", False, 0, (40, 30)),
    ],
)
def test_stitched_size(direction: str, match: bool, spacing: int, want: tuple[int, int]) -> None:
    first, second = torch.rand(1, 24, 20, 3), torch.rand(3, 16, 30, 3)
    stitched = stitching.image_stitch(first, direction, match, spacing, "red", second)
    assert tuple(stitched.shape) == (3, *want, 3)


def test_stitched_strip_and_order() -> None:
    first, second = torch.full((1, 2, 2, 4), 0.25), torch.full((1, 2, 2, 3), 0.75)
    left = stitching.image_stitch(first, "left", False, 2, "blue", second)[0, 0]
    assert left[0].tolist() == [0.75, 0.75, 0.75, 1.0]
    assert left[2].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert left[-1].tolist() == [0.25] * 4
    assert stitching.image_stitch(first, "up", True, 2, "blue") is first


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "want"),
    [(10, 16, 4, [0]), (32, 16, 0, [0, 16]), (30, 16, 4, [0, 12, 14]), (7, 4, 9, [0, 1, 2, 3])],
)
def test_tiles_cover_everything(size: int, tile: int, overlap: int, want: list[int]) -> None:
    assert starts(size, tile, overlap) == want


def test_tiles_are_a_list(run: Any) -> None:
    tiles = run.node("SplitImageToTileList", image=torch.zeros(2, 70, 130, 3), tile_width=64, tile_height=64, overlap=0)
    assert [tuple(tile.shape[:3]) for tile in tiles] == [(2, 64, 64)] * 6
