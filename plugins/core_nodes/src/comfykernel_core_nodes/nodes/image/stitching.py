"""The node that puts two images side by side."""

from __future__ import annotations

from typing import Annotated, Final

import torch
import torch.nn.functional as functional
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import last_repeated, opaque
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_sdk.sockets import Choice, Image, Int, Toggle

image_node = extra_node("nodes_images")

COLOURS: Final = {
    "white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0),
    "red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0),
}  # fmt: skip

GREYS: Final = ("white", "black")


@image_node("ImageStitch", category="image/transform", display_name="Image Stitch")
def image_stitch(
    image1: Image,
    direction: Annotated[str, Choice("right", "down", "left", "up", default="right")],
    match_image_size: Annotated[bool, Toggle(default=True)],
    spacing_width: Annotated[int, Int(default=0, min=0, max=1024, step=2)],
    spacing_color: Annotated[str, Choice(*COLOURS, default="white")],
    image2: Image | None = None,
) -> Image:
    """Put a second image at one side of the first, with a strip of a colour between them.

    The second is resized to the edge where they meet, or else the smaller one is centred between margins, which have
    the colour of the strip where it is white, and are black elsewhere. A shorter batch repeats its last image.
    """
    if image2 is None:
        return image1
    batch = max(len(image1), len(image2))
    image1, image2 = last_repeated(image1, batch), last_repeated(image2, batch)
    along = 2 if direction in ("left", "right") else 1
    if match_image_size:
        image2 = _with_edge_of(image1, image2, along)
    else:
        margin = COLOURS[spacing_color][0] if spacing_color in GREYS else 0.0
        edge = max(image1.shape[3 - along], image2.shape[3 - along])
        image1, image2 = (_centred(image, edge, along, margin) for image in (image1, image2))
    channels = max(image1.shape[-1], image2.shape[-1])
    parts = [opaque(image1, channels), opaque(image2, channels)]
    if direction in ("left", "up"):
        parts.reverse()
    if spacing_width:
        parts.insert(1, _strip(parts[0], along, spacing_width + spacing_width % 2, COLOURS[spacing_color]))
    return torch.cat(parts, dim=along)


def _with_edge_of(first: Tensor, second: Tensor, along: int) -> Tensor:
    """The second image resized, in its proportions, so that both meet along a whole edge."""
    height, width = second.shape[1:3]
    aspect = width / height
    if along == 2:
        height, width = first.shape[1], max(1, int(first.shape[1] * aspect))
    else:
        height, width = max(1, int(first.shape[2] / aspect)), first.shape[2]
    return resize_image(second, width, height, "lanczos")


def _centred(image: Tensor, edge: int, along: int, value: float) -> Tensor:
    """Margins of a value at both ends of the edge, so that it is ``edge`` long; an odd pixel goes to the far end."""
    missing = edge - image.shape[3 - along]
    ends = (missing // 2, missing - missing // 2)
    sides = (0, 0, 0, 0, *ends) if along == 2 else (0, 0, *ends, 0, 0)
    return functional.pad(image, sides, value=value)


def _strip(image: Tensor, along: int, width: int, colour: tuple[float, float, float]) -> Tensor:
    shape = list(image.shape)
    shape[along] = width
    return opaque(torch.tensor(colour, dtype=image.dtype), image.shape[-1]).expand(shape)
