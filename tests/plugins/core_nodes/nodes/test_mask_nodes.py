"""Mask nodes."""

from __future__ import annotations

import pytest
import torch

from comfykernel_core_nodes.nodes.mask import channels as nodes
from comfykernel_sdk.errors import BadInput


def test_solid_mask() -> None:
    mask = nodes.solid_mask(0.25, 5, 3)
    assert tuple(mask.shape) == (1, 3, 5)
    assert mask.unique().tolist() == [0.25]


@pytest.mark.parametrize("shape", [(2, 4, 3), (4, 3), (2, 1, 4, 3)])
def test_mask_to_image_is_grey(shape: tuple[int, ...]) -> None:
    mask = torch.rand(shape)
    image = nodes.mask_to_image(mask)
    assert tuple(image.shape[1:]) == (4, 3, 3)
    for channel in range(3):
        assert torch.equal(image[..., channel].flatten(), mask.flatten())


def test_image_to_mask_takes_a_channel() -> None:
    image = torch.rand(1, 4, 3, 4)
    assert torch.equal(nodes.image_to_mask(image, "blue"), image[..., 2])
    assert torch.equal(nodes.image_to_mask(image, "alpha"), image[..., 3])


def test_image_to_mask_without_alpha_says_so() -> None:
    with pytest.raises(BadInput, match="no alpha channel") as error:
        nodes.image_to_mask(torch.rand(1, 4, 3, 3), "alpha")
    assert error.value.type == "missing_channel"
