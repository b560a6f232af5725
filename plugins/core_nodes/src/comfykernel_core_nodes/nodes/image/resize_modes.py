"""Nodes that resize images or masks in many ways, and the one that chooses a resolution."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, TypeAlias, TypedDict, TypeVar

from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.resampling import resize
from comfykernel_core_nodes.nodes.image.sizes import PIXELS_PER_MEGAPIXEL, sides_of_total
from comfykernel_sdk.sockets import Choice, Float, Image, Int, Mask, Out, Socket

post_node = extra_node("nodes_post_processing")
resolution_node = extra_node("nodes_resolution")

LONGEST_SIDE: Final = 8192

Side: TypeAlias = Annotated[int, Int(default=512, min=0, max=LONGEST_SIDE, step=1)]
Crop: TypeAlias = Annotated[str, Choice("disabled", "center", default="center")]
Pixels = TypeVar("Pixels", Image, Mask)


class ByMultiplier(TypedDict):
    """A multiple of what it was."""

    resize_type: Literal["scale by multiplier"]
    multiplier: Annotated[float, Float(default=1.0, min=0.01, max=8.0, step=0.01)]


class ToDimensions(TypedDict):
    """A width and a height; 0 follows from the other one."""

    resize_type: Literal["scale dimensions"]
    width: Side
    height: Side
    crop: Crop


class ToLonger(TypedDict):
    """A length of the longer side."""

    resize_type: Literal["scale longer dimension"]
    longer_size: Side


class ToShorter(TypedDict):
    """A length of the shorter side."""

    resize_type: Literal["scale shorter dimension"]
    shorter_size: Side


class ToWidth(TypedDict):
    """A width."""

    resize_type: Literal["scale width"]
    width: Side


class ToHeight(TypedDict):
    """A height."""

    resize_type: Literal["scale height"]
    height: Side


class ToTotal(TypedDict):
    """A number of pixels."""

    resize_type: Literal["scale total pixels"]
    megapixels: Annotated[float, Float(default=1.0, min=0.01, max=16.0, step=0.01)]


class ToMatch(TypedDict):
    """The size of another image or mask."""

    resize_type: Literal["match size"]
    match: Annotated[Tensor, Socket("IMAGE,MASK")]
    crop: Crop


class ToMultiple(TypedDict):
    """The next smaller sides that a number divides, the rest cut off evenly."""

    resize_type: Literal["scale to multiple"]
    multiple: Annotated[int, Int(default=8, min=1, max=LONGEST_SIDE, step=1)]


Way: TypeAlias = (
    ToDimensions | ByMultiplier | ToLonger | ToShorter | ToWidth | ToHeight | ToTotal | ToMatch | ToMultiple
)


@post_node(
    "ResizeImageMaskNode", category="image/transform", display_name="Resize Image/Mask", search_aliases=("scale",)
)
def resize_image_mask(
    input: Pixels,
    resize_type: Annotated[Way, Choice(tooltip="What the new size is made from.")],
    scale_method: Annotated[str, Choice("nearest-exact", "bilinear", "area", "bicubic", "lanczos", default="area")],
) -> Annotated[Pixels, Out("resized")]:
    """Resize images or masks: to a size, by a factor, to a side, a number of pixels, a multiple or like another one."""
    maps = input.movedim(-1, 1) if input.ndim == 4 else input.reshape(-1, 1, *input.shape[-2:])
    old_height, old_width = maps.shape[-2:]
    width, height, crop = new_size(old_width, old_height, resize_type)
    if (width, height) == (old_width, old_height):
        return input
    resized = resize(maps, width, height, scale_method, crop)
    return resized.movedim(1, -1) if input.ndim == 4 else resized[:, 0]


def new_size(width: int, height: int, way: Way) -> tuple[int, int, str]:
    """Width, height and kind of crop that something of a size gets; a length of 0 changes nothing."""
    crop = "disabled"
    match way:
        case {"resize_type": "scale by multiplier", "multiplier": float() | int() as factor}:
            width, height = round(width * factor), round(height * factor)
        case {"resize_type": "scale dimensions", "width": int() as w, "height": int() as h, "crop": str() as crop}:
            width, height = completed(width, height, w, h)
        case {"resize_type": "scale longer dimension", "longer_size": int() as side}:
            width, height = completed(width, height, *((side, 0) if width >= height else (0, side)))
        case {"resize_type": "scale shorter dimension", "shorter_size": int() as side}:
            width, height = completed(width, height, *((side, 0) if width <= height else (0, side)))
        case {"resize_type": "scale width", "width": int() as side}:
            width, height = completed(width, height, side, 0)
        case {"resize_type": "scale height", "height": int() as side}:
            width, height = completed(width, height, 0, side)
        case {"resize_type": "scale total pixels", "megapixels": float() | int() as megapixels}:
            width, height = sides_of_total(width, height, megapixels)
        case {"resize_type": "match size", "match": Tensor() as other, "crop": str() as crop}:
            height, width = other.shape[1:3]
        case {"resize_type": "scale to multiple", "multiple": int() as multiple}:
            width, height, crop = *(max(multiple, side // multiple * multiple) for side in (width, height)), "center"
    return max(1, width), max(1, height), crop


def completed(width: int, height: int, wanted_width: int, wanted_height: int) -> tuple[int, int]:
    """The wanted sides; one of 0 follows from the other by the old proportion, two leave the size as it was."""
    if wanted_width == wanted_height == 0:
        return width, height
    return (
        wanted_width or max(1, round(width * wanted_height / height)),
        wanted_height or max(1, round(height * wanted_width / width)),
    )


@post_node(
    "ResizeImagesByLongerEdge", category="image/transform", display_name="Resize Images by Longer Edge", deprecated=True
)
def resize_images_by_longer_edge(
    images: Image, longer_edge: Annotated[int, Int(default=1024, min=1, max=LONGEST_SIDE, step=1)]
) -> Annotated[Image, Out("images")]:
    """Resize images so that their longer side has a length. Resize Image/Mask does it, too."""
    height, width = images.shape[1:3]
    width, height = completed(width, height, *((longer_edge, 0) if width >= height else (0, longer_edge)))
    return resize(images.movedim(-1, 1), width, height, "lanczos").movedim(1, -1)


ASPECTS: Final = {
    "1:1 (Square)": (1, 1), "2:3 (Portrait Photo)": (2, 3), "3:2 (Photo)": (3, 2), "3:4 (Portrait Standard)": (3, 4),
    "4:3 (Standard)": (4, 3), "9:16 (Portrait Widescreen)": (9, 16), "16:9 (Widescreen)": (16, 9),
    "21:9 (Ultrawide)": (21, 9),
}  # fmt: skip


@resolution_node("ResolutionSelector", category="utils", display_name="Resolution Selector")
def resolution_selector(
    aspect_ratio: Annotated[str, Choice(*ASPECTS, default="1:1 (Square)")],
    megapixels: Annotated[float, Float(default=1.0, min=0.1, max=16.0, step=0.1)],
    preview: Annotated[object, Socket("RESOLUTION_PREVIEW")] = None,
    multiple: Annotated[int, Int(default=8, min=8, max=128, step=4)] = 8,
) -> tuple[Annotated[int, Out("width")], Annotated[int, Out("height")]]:
    """Choose width and height by their proportion and the number of pixels, in millions of 1024 times 1024.

    Args:
        multiple: both sides are rounded to the nearest multiple of this.
        preview: shows the result in the page.
    """
    across, down = ASPECTS[aspect_ratio]
    unit = math.sqrt(megapixels * PIXELS_PER_MEGAPIXEL / (across * down))
    width, height = (max(multiple, round(part * unit / multiple) * multiple) for part in (across, down))
    return width, height
