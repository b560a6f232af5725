"""Nodes for morphology and for brightness and colour difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Image, Int, Out, Socket

morphology_node = extra_node("nodes_morphology")

Picture = Annotated[Image, Socket("IMAGE", bare=False)]

LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness (ITU-R BT.601, 2.5.1)."""

# Scales of the differences blue - brightness and red - brightness (JPEG File Interchange Format 1.02, rounded).
TO_CB, TO_CR = 0.564, 0.713


def dilated(image: Tensor, size: int) -> Tensor:
    """The largest value in the square of ``size`` pixels around each of [batch, channel, height, width].

    With an even size the square reaches a pixel further up and left. What lies outside of the image does not count.
    """
    before, after = size // 2, size - size // 2 - 1
    padded = functional.pad(image, (before, after, before, after), value=-torch.inf)
    return _largest(_largest(padded, size, -1), size, -2)


def _largest(values: Tensor, size: int, dimension: int) -> Tensor:
    """The largest of ``size`` neighbours from each place on; a step doubles how many are known."""
    known = 1
    while known < size:
        step = min(known, size - known)
        length = values.shape[dimension] - step
        values = torch.maximum(values.narrow(dimension, 0, length), values.narrow(dimension, step, length))
        known += step
    return values


def eroded(image: Tensor, size: int) -> Tensor:
    """The smallest value in the same square."""
    return -dilated(-image, size)


def opened(image: Tensor, size: int) -> Tensor:
    """Erosion, then dilation: bright details smaller than the square vanish."""
    return dilated(eroded(image, size), size)


def closed(image: Tensor, size: int) -> Tensor:
    """Dilation, then erosion: dark details smaller than the square vanish."""
    return eroded(dilated(image, size), size)


OPERATIONS: Final[dict[str, Callable[[Tensor, int], Tensor]]] = {
    "erode": eroded,
    "dilate": dilated,
    "open": opened,
    "close": closed,
    "gradient": lambda image, size: dilated(image, size) - eroded(image, size),
    "bottom_hat": lambda image, size: closed(image, size) - image,
    "top_hat": lambda image, size: image - opened(image, size),
}


@morphology_node(
    "Morphology", category="image/postprocessing", display_name="ImageMorphology",
    deprecated=False, experimental=False, api_node=False,
)  # fmt: skip
def morphology(
    image: Picture,
    operation: Annotated[str, Choice(*OPERATIONS)],
    kernel_size: Annotated[int, Int(default=3, min=3, max=999, step=1)],
) -> Image:
    """Grow, shrink or outline bright areas, channel by channel, by a square of ``kernel_size`` pixels."""
    return OPERATIONS[operation](image.movedim(-1, 1), kernel_size).movedim(1, -1)


@morphology_node("ImageRGBToYUV", category="image/batch", deprecated=False, experimental=False, api_node=False)
def image_rgb_to_yuv(
    image: Picture,
) -> tuple[Annotated[Image, Out("Y")], Annotated[Image, Out("U")], Annotated[Image, Out("V")]]:
    """Split images into brightness and two colour differences around one half, each as a grey image."""
    red, green, blue = image[..., :3].unbind(-1)
    y = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    u, v = (blue - y) * TO_CB + 0.5, (red - y) * TO_CR + 0.5
    return _grey(y), _grey(u), _grey(v)


def _grey(values: Tensor) -> Tensor:
    return values.unsqueeze(-1).repeat(1, 1, 1, 3)


@morphology_node("ImageYUVToRGB", category="image/batch", deprecated=False, experimental=False, api_node=False)
def image_yuv_to_rgb(Y: Picture, U: Picture, V: Picture) -> Image:
    """Join brightness and two colour differences; of colourful inputs the mean of the channels counts."""
    sizes = [list(part.shape[:-1]) for part in (Y, U, V)]
    if not sizes[0] == sizes[1] == sizes[2]:
        raise BadInput(f"Y, U and V have the sizes {sizes[0]}, {sizes[1]} and {sizes[2]}; they must be alike.")
    y, u, v = (part.mean(-1) for part in (Y, U, V))
    red, blue = y + (v - 0.5) / TO_CR, y + (u - 0.5) / TO_CB
    green = (y - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return torch.stack([red, green, blue], dim=-1).clamp(0.0, 1.0)
