"""The node that finds edges."""

from __future__ import annotations

from typing import Annotated, Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.morphology import LUMA
from comfykernel_sdk.sockets import Float, Image, Socket

canny_node = extra_node("nodes_canny")

Threshold = Annotated[float, Float(default=0.4, min=0.01, max=0.99, step=0.01)]

BLUR_RADIUS: Final = 2
BLUR_SIGMA: Final = 1.0

SMALLEST_SQUARE: Final = 1e-6
"""Added below the root of the gradient's length."""

SOBEL: Final = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))

# The neighbour in each direction, by eighths of a turn from the right downwards: (row, column).
DIRECTIONS: Final = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


@canny_node("Canny", category="image/preprocessors", deprecated=False, experimental=False, api_node=False)
def canny(
    image: Annotated[Image, Socket("IMAGE", bare=False)],
    low_threshold: Threshold,
    high_threshold: Annotated[float, Float(default=0.8, min=0.01, max=0.99, step=0.01)],
) -> Image:
    """Draw the edges of images in white on black.

    An edge is where the brightness changes by more than ``high_threshold``, and goes on as long as it changes by more
    than ``low_threshold``.
    """
    return edges(image, low_threshold, high_threshold).unsqueeze(-1).repeat(1, 1, 1, 3)


def edges(image: Tensor, low: float, high: float) -> Tensor:
    """Edges [batch, height, width] of 0 and 1 (Canny, A Computational Approach to Edge Detection, 1986).

    The brightness is blurred by a Gaussian of 5 pixels, its gradient taken by Sobel's kernels, thinned along
    eight directions and tracked from strong places through weak ones.
    """
    length, direction = _gradient(_blurred(_brightness(image)))
    length = length * _is_crest(length, direction)
    return _connected(length > low, length > high).to(image.dtype)


def _brightness(image: Tensor) -> Tensor:
    """[batch, 1, height, width]"""
    if image.shape[-1] < 3:
        return image[..., 0].unsqueeze(1)
    return torch.einsum("bhwc,c->bhw", image[..., :3], torch.tensor(LUMA).to(image)).unsqueeze(1)


def _blurred(brightness: Tensor) -> Tensor:
    place = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=brightness.dtype)
    weights = torch.exp(-(place**2) / (2.0 * BLUR_SIGMA**2))
    weights = weights / weights.sum()
    mirrored = min(brightness.shape[-2:]) > BLUR_RADIUS
    padded = functional.pad(brightness, (BLUR_RADIUS,) * 4, mode="reflect" if mirrored else "replicate")
    rows = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    return functional.conv2d(rows, weights.view(1, 1, -1, 1))


def _gradient(brightness: Tensor) -> tuple[Tensor, Tensor]:
    """Length and direction of the gradient; the direction counts eighths of a turn, 0 to 7."""
    kernel = torch.tensor(SOBEL, dtype=brightness.dtype)
    padded = functional.pad(brightness, (1, 1, 1, 1), mode="replicate")
    across, down = functional.conv2d(padded, torch.stack([kernel, kernel.T]).unsqueeze(1)).unbind(1)
    length = torch.sqrt(across * across + down * down + SMALLEST_SQUARE)
    eighths = torch.round(torch.rad2deg(torch.atan2(down, across)) / 45.0)
    return length, eighths.long().remainder(8)


def _is_crest(length: Tensor, direction: Tensor) -> Tensor:
    """Whether a place is longer than both neighbours in its direction; what lies outside has length 0."""
    height, width = length.shape[-2:]
    around = functional.pad(length, (1, 1, 1, 1))
    neighbours = torch.stack([around[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in DIRECTIONS])
    ahead = neighbours.gather(0, direction.unsqueeze(0))[0]
    behind = neighbours.gather(0, (direction + 4).remainder(8).unsqueeze(0))[0]
    return (length > ahead) & (length > behind)


def _connected(weak: Tensor, strong: Tensor) -> Tensor:
    """Strong places, and the weak ones that touch them, from neighbour to neighbour."""
    found = weak & strong
    count = -1
    while (now := int(found.sum())) != count:
        count = now
        found = (functional.max_pool2d(found.float(), 3, stride=1, padding=1) > 0) & weak
    return found | strong
