"""Pictures as tensors, and fresh batches of latents for scenes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor

from comfykernel_demo_model.colour_path import rgb_to_latent
from comfykernel_demo_model.drawing import Scene, draw

# Pixels per latent along one side.
DOWNSCALE = 8

# Pixels per latent in pictures that are drawn only to be averaged; with the supersampling of `draw` that is 16.
COARSE = 4


def to_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size as [batch, 3, height, width] in -1..1."""
    stacked = torch.from_numpy(numpy.stack([numpy.asarray(picture) for picture in pictures]))
    return stacked.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def to_pictures(images: Tensor) -> list[Image.Image]:
    """Images [batch, 3, height, width] in -1..1 as pictures; what lies outside is cut off."""
    pixels = images.float().clamp(-1, 1).add(1).mul(127.5).round().byte().permute(0, 2, 3, 1)
    return [Image.fromarray(array) for array in pixels.cpu().contiguous().numpy()]


def mean_colours(images: Tensor, pixels: int = DOWNSCALE) -> Tensor:
    """Mean colour of each block of pixels x pixels: what the encoder finds."""
    return functional.avg_pool2d(images, pixels)


def draw_latents(scenes: Sequence[Scene], side: int, rng: random.Random) -> Tensor:
    """Latents of unit scale [batch, 4, side / 8, side / 8] of new drawings, as the encoder would give them.

    Mean colours hardly depend on the number of pixels they are taken from, so half the size is drawn.
    """
    drawings = [draw(scene, side * COARSE // DOWNSCALE, rng) for scene in scenes]
    return rgb_to_latent(mean_colours(to_tensor(drawings), COARSE))
