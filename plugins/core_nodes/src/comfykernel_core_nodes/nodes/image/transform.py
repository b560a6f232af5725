"""Nodes that make and change images."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, CropMethod, Offset, ResizeMethod, Side, SideOrAuto
from comfykernel_sdk.sockets import Choice, Float, Image, Int, Mask

image_node = extra_node("nodes_images")

QUARTER_TURNS: Final = {"none": 0, "90 degrees": 1, "180 degrees": 2, "270 degrees": 3}

Margin: TypeAlias = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=8)]


@core_node("EmptyImage", category="image")
def empty_image(
    width: Side,
    height: Side,
    batch_size: Annotated[int, Int(default=1, min=1, max=4096)],
    color: Annotated[int, Int(default=0, min=0, max=0xFFFFFF, step=1, display="color")],
) -> Image:
    """Make images of one colour, given as 0xRRGGBB."""
    channels = [(color >> shift & 0xFF) / 255.0 for shift in (16, 8, 0)]
    return torch.tensor(channels).expand(batch_size, height, width, 3).contiguous()


@core_node("ImageScale", category="image/upscaling", display_name="Upscale Image")
def image_scale(
    image: Image, upscale_method: ResizeMethod, width: SideOrAuto, height: SideOrAuto, crop: CropMethod
) -> Image:
    """Resize images. A side of 0 follows from the other one; two zeros leave the images as they are."""
    if width == 0 and height == 0:
        return image
    old_height, old_width = image.shape[1:3]
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    return resize_image(image, width, height, upscale_method, crop)


@core_node("ImageScaleBy", category="image/upscaling", display_name="Upscale Image By")
def image_scale_by(
    image: Image,
    upscale_method: ResizeMethod,
    scale_by: Annotated[float, Float(default=1.0, min=0.01, max=8.0, step=0.01)],
) -> Image:
    """Resize images by a factor."""
    width, height = (max(1, round(side * scale_by)) for side in (image.shape[2], image.shape[1]))
    return resize_image(image, width, height, upscale_method)


@core_node("ImageInvert", category="image", display_name="Invert Image")
def image_invert(image: Image) -> Image:
    """Turn every colour into its complement."""
    return 1.0 - image


@core_node("ImageBatch", category="image", display_name="Batch Images")
def image_batch(image1: Image, image2: Image) -> Image:
    """Join two batches. The second is cut and resized to the size of the first; a missing alpha channel is opaque."""
    if image1.shape[1:3] != image2.shape[1:3]:
        image2 = resize_image(image2, image1.shape[2], image1.shape[1], "bilinear", "center")
    channels = max(image1.shape[-1], image2.shape[-1])
    return torch.cat([_with_channels(image1, channels), _with_channels(image2, channels)])


def _with_channels(image: Tensor, channels: int) -> Tensor:
    missing = channels - image.shape[-1]
    return torch.nn.functional.pad(image, (0, missing), value=1.0) if missing else image


@core_node("ImagePadForOutpaint", category="image", display_name="Pad Image for Outpainting")
def image_pad_for_outpaint(
    image: Image,
    left: Margin,
    top: Margin,
    right: Margin,
    bottom: Margin,
    feathering: Annotated[int, Int(default=40, min=0, max=MAX_SIDE, step=1)],
) -> tuple[Image, Mask]:
    """Add grey margins and mark them as mask, softened into the picture by ``feathering`` pixels."""
    batch, height, width, channels = image.shape
    padded = torch.full((batch, height + top + bottom, width + left + right, channels), 0.5)
    padded[:, top : top + height, left : left + width] = image
    mask = torch.ones(padded.shape[1:3])
    mask[top : top + height, left : left + width] = _feather(height, width, (left, top, right, bottom), feathering)
    return padded, mask.unsqueeze(0)


def _feather(height: int, width: int, margins: tuple[int, int, int, int], feathering: int) -> Tensor:
    """Mask [height, width] that falls from 1 at the padded edges to 0 at ``feathering`` pixels, as a square."""
    if feathering == 0 or feathering * 2 >= min(height, width):
        return torch.zeros(height, width)
    left, top, right, bottom = margins
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    distance = torch.full((height, width), feathering)
    for margin, away in ((left, columns), (top, rows), (right, width - columns), (bottom, height - rows)):
        if margin:
            distance = torch.minimum(distance, away)
    return ((feathering - distance) / feathering) ** 2


@image_node("ImageCrop", category="image/transform", display_name="Image Crop")
def image_crop(image: Image, width: Side, height: Side, x: Offset, y: Offset) -> Image:
    """Cut a rectangle out; what of it lies outside is left away, at least one pixel stays."""
    x, y = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return image[:, y : y + height, x : x + width]


@image_node("ImageFlip", category="image/transform")
def image_flip(
    image: Image, flip_method: Annotated[str, Choice("x-axis: vertically", "y-axis: horizontally", bare=True)]
) -> Image:
    """Mirror images."""
    return torch.flip(image, dims=[1 if flip_method.startswith("x") else 2])


@image_node("ImageRotate", category="image/transform")
def image_rotate(image: Image, rotation: Annotated[str, Choice(*QUARTER_TURNS, bare=True)]) -> Image:
    """Turn images clockwise."""
    return torch.rot90(image, k=QUARTER_TURNS[rotation], dims=(2, 1))
