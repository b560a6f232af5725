"""Nodes that bring images to a size."""

from __future__ import annotations

import math
from typing import Annotated, Final

import torch

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Side
from comfykernel_sdk.sockets import Choice, Float, Image, Int, Socket

image_node = extra_node("nodes_images")
post_node = extra_node("nodes_post_processing")

PIXELS_PER_MEGAPIXEL: Final = 1024 * 1024
"""As resolutions of models are counted: a square of 1024 pixels."""

PADDING: Final = {"white": 1.0, "black": 0.0}


@image_node("ImageScaleToMaxDimension", category="image/upscaling")
def image_scale_to_max_dimension(
    image: Image,
    upscale_method: Annotated[
        str, Choice("area", "lanczos", "bilinear", "nearest-exact", "bilinear", "bicubic", bare=True)
    ],
    largest_size: Annotated[int, Int(default=512, min=0, max=MAX_SIDE, step=1)],
) -> Image:
    """Resize images so that their longer side has a size; 0 leaves them as they are."""
    if largest_size == 0:
        return image
    height, width = image.shape[1:3]
    scale = largest_size / max(height, width)
    new_width, new_height = (max(1, round(side * scale)) for side in (width, height))
    return resize_image(image, new_width, new_height, upscale_method)


@post_node("ImageScaleToTotalPixels", category="image/upscaling", deprecated=False, experimental=False, api_node=False)
def image_scale_to_total_pixels(
    image: Annotated[Image, Socket("IMAGE", bare=False)],
    upscale_method: Annotated[str, Choice("nearest-exact", "bilinear", "area", "bicubic", "lanczos")],
    megapixels: Annotated[float, Float(default=1.0, min=0.01, max=16.0, step=0.01)],
) -> Image:
    """Resize images to a number of pixels, in millions of 1024 times 1024, and keep their proportions."""
    width, height = sides_of_total(image.shape[2], image.shape[1], megapixels)
    return resize_image(image, width, height, upscale_method)


def sides_of_total(width: int, height: int, megapixels: float) -> tuple[int, int]:
    """Width and height in the same proportion with ``megapixels`` pixels, at least one pixel each."""
    scale = math.sqrt(megapixels * PIXELS_PER_MEGAPIXEL / (width * height))
    return max(1, round(width * scale)), max(1, round(height * scale))


@image_node("ResizeAndPadImage", category="image/transform")
def resize_and_pad_image(
    image: Image,
    target_width: Side,
    target_height: Side,
    padding_color: Annotated[str, Choice(*PADDING, bare=True)],
    interpolation: Annotated[str, Choice("area", "bicubic", "nearest-exact", "bilinear", "lanczos", bare=True)],
) -> Image:
    """Resize images into a frame without cutting them, and fill what is left of the frame with a colour."""
    batch, height, width, channels = image.shape
    scale = min(target_width / width, target_height / height)
    new_width, new_height = max(1, int(width * scale)), max(1, int(height * scale))
    x, y = (target_width - new_width) // 2, (target_height - new_height) // 2
    padded = torch.full((batch, target_height, target_width, channels), PADDING[padding_color], dtype=image.dtype)
    padded[:, y : y + new_height, x : x + new_width] = resize_image(image, new_width, new_height, interpolation)
    return padded
