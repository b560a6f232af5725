"""Nodes that cut images: into tiles, around a mask, without alpha."""

from __future__ import annotations

from typing import Annotated, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled
from comfykernel_core_nodes.nodes.image.resampling import resize, resize_image
from comfykernel_core_nodes.nodes.logic.choices import parsed_colour
from comfykernel_core_nodes.nodes.mask import editing
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Float, Image, Int, Mask, Out, Socket

image_node = extra_node("nodes_images")

LARGEST_TILE: Final = 1 << 20

TileSide = Annotated[int, Int(default=1024, min=64, max=LARGEST_TILE, step=1)]
OutputSide = Annotated[int, Int(default=1024, min=64, max=4096, step=8)]


@image_node("SplitImageToTileList", category="image/batch", display_name="Split Image into List of Tiles")
def split_image_to_tile_list(
    image: Image,
    tile_width: TileSide,
    tile_height: TileSide,
    overlap: Annotated[int, Int(default=128, min=0, max=4096, step=1)],
) -> list[Image]:
    """Cut images into tiles of one size that overlap, row by row; the last ones are moved inwards to fit."""
    height, width = image.shape[1:3]
    rows, columns = starts(height, tile_height, overlap), starts(width, tile_width, overlap)
    return [image[:, y : y + tile_height, x : x + tile_width] for y in rows for x in columns]


def starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin, so that they cover ``size`` and neighbours share at least ``overlap``."""
    if size <= tile:
        return [0]
    stride = max(1, tile - overlap)
    return [*range(0, size - tile, stride), size - tile]


@image_node("ImageRemoveAlpha+", category="image", display_name="Image Remove Alpha")
def image_remove_alpha(image: Image) -> Image:
    """Leave the transparency of images away."""
    return image[..., :3]


@image_node("ImageCropToMask", category="image/transform", display_name="Crop Image to Mask")
def image_crop_to_mask(
    images: Image,
    masks: Mask,
    width: OutputSide,
    height: OutputSide,
    pad_factor: Annotated[float, Float(default=1.0, min=1.0, max=2.0, step=0.01)],
    grow_mask: Annotated[int, Int(default=0, min=-32, max=32, step=1)],
    background: Annotated[str, Socket("COLOR", options={"default": "#000000"})],
) -> Annotated[Image, Out("images")]:
    """Cut out what a mask covers, put it in the middle of a plain background, and resize it.

    A mask whose border is covered and whose middle is not counts as inverted. An empty one means the whole image.

    Args:
        pad_factor: the margin around what is covered, as a multiple of its size.
        grow_mask: pixels by which the mask is widened before.

    Raises:
        BadInput: there are several masks, but not as many as images.
    """
    masks = editing.flat(masks)
    if len(masks) not in (1, len(images)):
        raise BadInput(
            f"There are {len(masks)} masks for {len(images)} images.", type="batch_mismatch",
            hint="Give one mask for all images, or one for each.",
        )  # fmt: skip
    if masks.shape[1:] != images.shape[1:3]:
        masks = resize(masks.unsqueeze(1), images.shape[2], images.shape[1], "bilinear")[:, 0]
    colour = torch.tensor(parsed_colour(background)[:3]) / 255.0
    cut = [
        _subject(image[..., :3], _grown(_upright(mask), grow_mask), colour, (width, height), pad_factor)
        for image, mask in zip(images, cycled(masks, len(images)), strict=True)
    ]
    return torch.stack(cut)


def _upright(mask: Tensor) -> Tensor:
    """The mask, or its inverse where the border is covered more than the middle, or nothing is covered."""
    height, width = mask.shape
    border = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    y, x = height // 4, width // 4
    middle = mask[y : height - y, x : width - x].mean()
    inverted = (border > 0.5 and middle <= 0.5) or not bool((mask > 0.5).any())
    return 1.0 - mask if inverted else mask


def _grown(mask: Tensor, pixels: int) -> Tensor:
    return editing.grow_mask(mask, pixels, tapered_corners=True)[0]


def _subject(image: Tensor, mask: Tensor, colour: Tensor, size: tuple[int, int], padding: float) -> Tensor:
    """The part of [height, width, 3] that a mask covers, over a colour and in the middle of a picture of a size."""
    width, height = size
    covered = (mask > 0.5).nonzero()
    if len(covered):
        (top, left), (bottom, right) = covered.min(0).values.tolist(), (covered.max(0).values + 1).tolist()
        image = image * mask.unsqueeze(-1) + colour * (1.0 - mask.unsqueeze(-1))
    else:
        top, left, bottom, right = 0, 0, *mask.shape
    across, down = max(1.0, (right - left) * padding), max(1.0, (bottom - top) * padding)
    across, down = max(across, down * width / height), max(down, across * height / width)
    frame = colour.expand(round(down), round(across), 3).clone()
    x, y = round((left + right - across) / 2), round((top + bottom - down) / 2)
    from_y, from_x = max(0, y), max(0, x)
    part = image[from_y : max(from_y, y + len(frame)), from_x : max(from_x, x + frame.shape[1])]
    frame[from_y - y : from_y - y + part.shape[0], from_x - x : from_x - x + part.shape[1]] = part
    return resize_image(frame.unsqueeze(0), width, height, "bicubic")[0].clamp(0.0, 1.0)
