"""Nodes that filter images: blur, sharpening, noise, blending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled, opaque
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.sockets import Seed
from comfykernel_sdk.sockets import Choice, Float, Image, Int, Socket

image_node = extra_node("nodes_images")
post_node = extra_node("nodes_post_processing")

Radius = Annotated[int, Int(default=1, min=1, max=31, step=1)]
Picture = Annotated[Image, Socket("IMAGE", bare=False)]

SHARPENING_UNIT: Final = 10.0
"""Weight of the blurred image that ``alpha`` 1 takes away."""


def soft_light(below: Tensor, above: Tensor) -> Tensor:
    """Darken or lighten ``below`` by ``above`` (W3C, Compositing and Blending Level 1, 10.1.9)."""
    lighter = torch.where(below <= 0.25, ((16.0 * below - 12.0) * below + 4.0) * below, below.clamp(min=0.0).sqrt())
    return torch.where(
        above <= 0.5,
        below - (1.0 - 2.0 * above) * below * (1.0 - below),
        below + (2.0 * above - 1.0) * (lighter - below),
    )


BLENDS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "normal": lambda below, above: above,
    "multiply": lambda below, above: below * above,
    "screen": lambda below, above: 1.0 - (1.0 - below) * (1.0 - above),
    "overlay": lambda below, above: torch.where(
        below <= 0.5, 2.0 * below * above, 1.0 - 2.0 * (1.0 - below) * (1.0 - above)
    ),
    "soft_light": soft_light,
    "difference": lambda below, above: below - above,
}
"""The separable blend modes; differences below zero are black."""


@post_node("ImageBlend", category="image/postprocessing", deprecated=False, experimental=False, api_node=False)
def image_blend(
    image1: Picture,
    image2: Picture,
    blend_factor: Annotated[float, Float(default=0.5, min=0.0, max=1.0, step=0.01)],
    blend_mode: Annotated[str, Choice(*BLENDS)],
) -> Image:
    """Lay the second image over the first: a mode makes the mixture, a factor says how much of it is seen.

    The second is cut and resized to the first, and repeated where its batch is shorter.
    """
    above = opaque(image2, image1.shape[-1])
    if above.shape[1:3] != image1.shape[1:3]:
        above = resize_image(above, image1.shape[2], image1.shape[1], "bicubic", "center")
    batch = max(len(image1), len(above))
    below, above = cycled(image1, batch), cycled(above, batch)
    return (below * (1.0 - blend_factor) + BLENDS[blend_mode](below, above) * blend_factor).clamp(0.0, 1.0)


def blurred(image: Tensor, radius: int, sigma: float) -> Tensor:
    """Images [batch, height, width, channel] under a Gaussian that is cut off at ``radius``; the edges are mirrored.

    ``sigma`` is measured in radii, not in pixels. A Gaussian is the product of one along each side.
    """
    place = torch.linspace(-1.0, 1.0, 2 * radius + 1)
    weights = torch.exp(-(place**2) / (2.0 * sigma * sigma))
    weights = (weights / weights.sum()).to(image)
    channels = image.shape[-1]
    padded = _mirrored(_mirrored(image, radius, 1), radius, 2).movedim(-1, 1)
    rows = functional.conv2d(padded, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    both = functional.conv2d(rows, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return both.movedim(1, -1)


def _mirrored(image: Tensor, margin: int, dimension: int) -> Tensor:
    """Margins that mirror the image at its outermost pixels, as often as a margin wider than the image needs."""
    size = image.shape[dimension]
    place = torch.arange(-margin, size + margin)
    period = max(1, 2 * (size - 1))
    place = place.remainder(period)
    return image.index_select(dimension, torch.minimum(place, period - place).clamp(max=size - 1))


@post_node("ImageBlur", category="image/postprocessing", deprecated=False, experimental=False, api_node=False)
def image_blur(
    image: Picture, blur_radius: Radius, sigma: Annotated[float, Float(default=1.0, min=0.1, max=10.0, step=0.1)]
) -> Image:
    """Blur images by a Gaussian that is cut off at a radius in pixels; ``sigma`` counts in radii."""
    return blurred(image, blur_radius, sigma)


@post_node("ImageSharpen", category="image/postprocessing", deprecated=False, experimental=False, api_node=False)
def image_sharpen(
    image: Picture,
    sharpen_radius: Radius,
    sigma: Annotated[float, Float(default=1.0, min=0.1, max=10.0, step=0.01)],
    alpha: Annotated[float, Float(default=1.0, min=0.0, max=5.0, step=0.01)],
) -> Image:
    """Sharpen images by taking a blurred copy away from them (unsharp masking)."""
    weight = SHARPENING_UNIT * alpha
    return ((1.0 + weight) * image - weight * blurred(image, sharpen_radius, sigma)).clamp(0.0, 1.0)


@image_node("ImageAddNoise", category="image")
def image_add_noise(
    image: Image, seed: Seed, strength: Annotated[float, Float(default=0.5, min=0.0, max=1.0, step=0.01)]
) -> Image:
    """Add normal noise of a standard deviation ``strength``."""
    noise = torch.randn(image.shape, generator=torch.Generator(device="cpu").manual_seed(seed))
    return (image + strength * noise.to(image)).clamp(0.0, 1.0)
