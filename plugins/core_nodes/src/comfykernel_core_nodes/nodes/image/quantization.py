"""The node that reduces images to a few colours, with or without dithering."""

from __future__ import annotations

import math
from typing import Annotated, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.encoding import to_picture
from comfykernel_sdk.sockets import Choice, Image, Int, Socket

post_node = extra_node("nodes_post_processing")

DITHERS: Final = ("none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16")

LEVELS: Final = 256
"""Values that an 8-bit channel has."""


@post_node("ImageQuantize", category="image/postprocessing", deprecated=False, experimental=False, api_node=False)
def image_quantize(
    image: Annotated[Image, Socket("IMAGE", bare=False)],
    colors: Annotated[int, Int(default=256, min=1, max=256, step=1)],
    dither: Annotated[str, Choice(*DITHERS)],
) -> Image:
    """Reduce each image to its most useful colours; dithering gives back the impression of more."""
    return torch.stack([_quantized(picture, colors, dither) for picture in image])


def _quantized(image: Tensor, colours: int, dither: str) -> Tensor:
    picture = to_picture(image).convert("RGB")
    palette = picture.quantize(colors=colours)
    if dither.startswith("bayer-"):
        used = len(palette.getpalette() or []) // 3
        picture = _ordered(picture, int(dither.removeprefix("bayer-")), 2.0 * LEVELS / max(1, used))
    method = PillowImage.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else PillowImage.Dither.NONE
    reduced = picture.quantize(palette=palette, dither=method).convert("RGB")
    return torch.from_numpy(np.array(reduced).astype(np.float32) / 255.0)


def _ordered(picture: PillowImage.Image, order: int, spread: float) -> PillowImage.Image:
    """The picture with thresholds added that repeat every ``order`` pixels and lie ``spread`` around a half."""
    pixels = np.asarray(picture).astype(np.float32)
    height, width = pixels.shape[:2]
    repeats = (math.ceil(height / order), math.ceil(width / order))
    pattern = np.tile(spread * bayer_pattern(order) + 0.5, repeats)[:height, :width, None]
    return PillowImage.fromarray(np.clip(pixels + pattern, 0, 255).astype(np.uint8))


def bayer_pattern(order: int) -> NDArray[np.float32]:
    """Thresholds [order, order] between -1/2 and 1/2, evenly spaced; ``order`` is a power of two.

    Bayer, An optimum method for two-level rendition of continuous-tone pictures, 1973.
    """
    ranks = np.zeros((1, 1), dtype=np.float32)
    while len(ranks) < order:
        ranks = np.block([[4 * ranks, 4 * ranks + 2], [4 * ranks + 3, 4 * ranks + 1]])
    return ((ranks - (order * order - 1) / 2.0) / (order * order)).astype(np.float32)
