"""Small pictures of a running sampler: a linear map from latents to colours."""

from __future__ import annotations

from typing import Final

import torch
from PIL import Image
from torch import Tensor

from comfykernel_core_nodes.diffusion.latent_formats import LatentFormat

# Longest side of a preview in pixels.
MAX_PREVIEW_SIDE: Final = 512


def latent_colours(latent: Tensor, latent_format: LatentFormat) -> Tensor:
    """Colours [height, width, 3], uint8, of one latent [channel, height, width] in the model's scale.

    A format without known colours shows its first channel in grey.
    """
    latent = latent.float().cpu()
    if latent_format.rgb_factors:
        factors = torch.tensor(latent_format.rgb_factors)
        colours = latent.movedim(0, -1) @ factors + torch.tensor(latent_format.rgb_bias)
    else:
        colours = latent[0, :, :, None].expand(-1, -1, 3)
    return ((colours + 1.0) / 2.0).clamp(0.0, 1.0).mul(255.0).to(torch.uint8)


def preview_image(latent: Tensor, latent_format: LatentFormat, max_size: int = MAX_PREVIEW_SIDE) -> Image.Image:
    """Picture of the first latent of a batch [batch, channel, height, width], one pixel a latent unit or less."""
    image = Image.fromarray(latent_colours(latent[0], latent_format).numpy())
    image.thumbnail((max_size, max_size))
    return image
