"""Masks that are cut, grown, feathered and combined; pasting and compositing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.nodes.mask import compositing, editing, pasting
from comfykernel_sdk.errors import BadInput

POINT = torch.zeros(1, 9, 9)
POINT[0, 4, 4] = 1.0


@given(st.integers(-3, 3), st.booleans(), st.integers(0, 50))
def test_grown_mask_is_the_extreme_of_a_neighbourhood(steps: int, tapered: bool, seed: int) -> None:
    mask = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(seed))
    grown = editing.grow_mask(mask, steps, tapered)
    reach = abs(steps)
    for y, x in ((0, 0), (3, 3), (5, 6)):
        around = [
            mask[:, j, i]
            for j in range(6)
            for i in range(7)
            if (abs(j - y) + abs(i - x) if tapered else max(abs(j - y), abs(i - x))) <= reach
        ]
        stacked = torch.stack(around)
        want = stacked.max(0).values if steps >= 0 else stacked.min(0).values
        assert torch.equal(grown[:, y, x], want)


@pytest.mark.parametrize(("tapered", "pixels"), [(True, 13), (False, 25)])
def test_corners(tapered: bool, pixels: int) -> None:
    assert float(editing.grow_mask(POINT, 2, tapered).sum()) == pixels


def test_feather_rises_from_the_edges() -> None:
    mask = torch.ones(1, 6, 8)
    assert torch.allclose(editing.feather_mask(mask, 4, 0, 0, 0)[0, 0], torch.tensor([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]))
    assert torch.allclose(editing.feather_mask(mask, 0, 2, 0, 0)[0, :, 3], torch.tensor([0.5, 1, 1, 1, 1, 1]))
    assert torch.allclose(
        editing.feather_mask(mask, 0, 0, 3, 0)[0, 0], torch.tensor([1 / 3, 1, 1, 1, 1, 1, 1.0, 2 / 3])
    )
    assert torch.equal(editing.feather_mask(mask, 0, 0, 0, 0), mask)
    assert bool((editing.feather_mask(mask, 99, 99, 99, 99) <= 1.0).all())
    assert mask.min() == 1.0


def test_colour_to_mask_compares_eight_bits() -> None:
    image = torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.502, 0.0], [1.0, 0.51, 0.0]]).view(1, 1, 3, 3)
    assert editing.image_color_to_mask(image, 0xFF8000).tolist() == [[[1.0, 1.0, 0.0]]]


@pytest.mark.parametrize(
    ("operation", "want"),
    [("multiply", 0.24), ("add", 1.0), ("subtract", 0.2), ("and", 0.0), ("or", 1.0), ("xor", 1.0)],
)
def test_mask_operations(operation: str, want: float) -> None:
    base, other = torch.full((2, 4, 4), 0.6), torch.full((3, 3), 0.4 if operation != "add" else 0.7)
    combined = editing.mask_composite(base, other, 2, 1, operation)
    assert float(combined[1, 3, 3]) == pytest.approx(want)
    assert float(combined[0, 0, 0]) == pytest.approx(0.6)


def test_mask_beyond_the_end_changes_nothing_and_larger_batches_are_kept() -> None:
    base, other = torch.rand(1, 4, 4), torch.rand(3, 4, 4)
    assert torch.equal(editing.mask_composite(base, base, 9, 0, "subtract"), base)
    assert len(editing.mask_composite(base, other, 0, 0, "add")) == 3


def test_cut_mask_keeps_a_pixel() -> None:
    assert tuple(editing.crop_mask(torch.rand(9, 9), 50, 3, 4, 4).shape) == (1, 4, 1)


def test_pasting_respects_place_mask_and_batch() -> None:
    base, above = torch.zeros(2, 4, 5, 3), torch.ones(1, 2, 9, 4)
    result = pasting.image_composite_masked(base, above, 3, 1, False, torch.full((2, 3), 0.5))
    assert tuple(result.shape) == (2, 4, 5, 3)
    assert result[1, 1:3, 3:].unique().tolist() == [0.5]
    assert float(result.sum()) == pytest.approx(2 * 4 * 3 * 0.5)
    assert not base.any()
    assert torch.equal(pasting.image_composite_masked(base, above, 99, 0, False), base)
    assert pasting.image_composite_masked(base, above, 0, 0, True).min() == 1.0


def test_latents_of_other_channels_are_refused() -> None:
    with pytest.raises(BadInput, match=r"\[1, 4, 2, 2\] and \[1, 16, 2, 2\]"):
        pasting.latent_composite_masked(
            {"samples": torch.zeros(1, 4, 2, 2)}, {"samples": torch.zeros(1, 16, 2, 2)}, 0, 0, False
        )


def opaque_pair() -> tuple[torch.Tensor, ...]:
    return torch.rand(1, 3, 4, 3), torch.zeros(1, 3, 4), torch.rand(1, 3, 4, 3), torch.zeros(1, 3, 4)


def test_rules_of_opaque_pictures() -> None:
    source, none, destination, _ = opaque_pair()
    composed = {
        m: compositing.porter_duff_image_composite(source, none, destination, none, m) for m in compositing.RULES
    }
    for mode in ("SRC", "SRC_OVER", "SRC_IN", "SRC_ATOP"):
        assert torch.allclose(composed[mode][0], source, atol=1e-6)
    for mode in ("DST", "DST_OVER", "DST_IN", "DST_ATOP"):
        assert torch.allclose(composed[mode][0], destination, atol=1e-6)
    for mode in ("CLEAR", "SRC_OUT", "DST_OUT", "XOR"):
        assert composed[mode][1].min() == 1.0
        assert not composed[mode][0].any()
    assert torch.allclose(composed["MULTIPLY"][0], source * destination, atol=1e-6)


def test_composed_size_is_the_destinations() -> None:
    source, alpha = torch.rand(2, 5, 9, 4), torch.rand(3, 2, 2)
    image, mask = compositing.porter_duff_image_composite(
        source, alpha, torch.rand(4, 6, 7, 3), torch.rand(4, 6, 7), "ADD"
    )
    assert (tuple(image.shape), tuple(mask.shape)) == ((2, 6, 7, 3), (2, 6, 7))


def test_alpha_comes_apart_and_together() -> None:
    image, mask = torch.rand(2, 4, 5, 3), torch.rand(1, 4, 5)
    joined = compositing.join_image_with_alpha(image, mask)
    colours, alpha = compositing.split_image_with_alpha(joined)
    assert torch.equal(colours, image)
    assert torch.allclose(alpha, mask.expand(2, -1, -1))
    assert not compositing.split_image_with_alpha(image)[1].any()
    assert tuple(compositing.join_image_with_alpha(image, torch.rand(9, 9)).shape) == (2, 4, 5, 4)


def test_mask_preview_is_temporary(node_run: Callable[..., Any]) -> None:
    result = node_run().node("MaskPreview", mask=torch.ones(2, 3, 4))
    assert [image["type"] for image in result.ui["images"]] == ["temp", "temp"]
