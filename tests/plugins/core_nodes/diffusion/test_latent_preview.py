"""Previews: colours of latents."""

from __future__ import annotations

import torch

from comfykernel_core_nodes.diffusion.latent_formats import SD1, LatentFormat
from comfykernel_core_nodes.diffusion.latent_preview import preview_image


def test_colour_is_a_linear_map_of_the_first_latent() -> None:
    latent = torch.zeros(2, 4, 6, 8)
    latent[0, 0, :, 4:] = 1.0
    latent[1] = 50.0
    image = preview_image(latent, SD1)
    assert image.size == (8, 6)
    assert image.getpixel((0, 0)) == (127, 127, 127)
    assert image.getpixel((7, 5)) == tuple(int((1 + c) / 2 * 255) for c in SD1.rgb_factors[0])


def test_large_previews_are_made_smaller() -> None:
    assert preview_image(torch.zeros(1, 4, 100, 200), SD1, max_size=64).size == (64, 32)


def test_unknown_colours_give_grey() -> None:
    pixel = preview_image(torch.ones(1, 16, 4, 4), LatentFormat(channels=16)).getpixel((0, 0))
    assert pixel == (255, 255, 255)
