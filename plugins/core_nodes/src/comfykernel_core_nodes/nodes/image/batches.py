"""Nodes for batches of images: size, parts, repetition, other batch sizes, joining."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Annotated, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import opaque
from comfykernel_core_nodes.nodes.image.resampling import resize, resize_image
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Growing, Image, Int, Mask, Out, Socket, UniqueId

image_node = extra_node("nodes_images")
rebatch_node = extra_node("nodes_rebatch")
new_image_node = extra_node("nodes_post_processing")

LARGEST_BATCH: Final = 4096
MOST_INPUTS: Final = 50


@image_node("GetImageSize", category="image", display_name="Get Image Size")
def get_image_size(
    context: NodeContext, image: Image, unique_id: UniqueId = ""
) -> tuple[Annotated[int, Out("width")], Annotated[int, Out("height")], Annotated[int, Out("batch_size")]]:
    """Tell width, height and number of images, also as a text at the node."""
    batch, height, width = image.shape[:3]
    context.text(f"width: {width}, height: {height}\n batch size: {batch}")
    return width, height, batch


@image_node("ImageFromBatch", category="image/batch")
def image_from_batch(
    image: Image,
    batch_index: Annotated[int, Int(default=0, min=0, max=LARGEST_BATCH - 1)],
    length: Annotated[int, Int(default=1, min=1, max=LARGEST_BATCH)],
) -> Image:
    """Take ``length`` images from a place on; a place behind the end means the last image."""
    start = min(batch_index, len(image) - 1)
    return image[start : start + length].clone()


@image_node("RepeatImageBatch", category="image/batch")
def repeat_image_batch(image: Image, amount: Annotated[int, Int(default=1, min=1, max=LARGEST_BATCH)]) -> Image:
    """Repeat a whole batch."""
    return image.repeat(amount, 1, 1, 1)


@rebatch_node(
    "RebatchImages", category="image/batch", display_name="Rebatch Images", input_is_list=True,
    deprecated=False, experimental=False, api_node=False,
)  # fmt: skip
def rebatch_images(
    images: list[Annotated[Tensor, Socket("IMAGE", bare=False)]],
    batch_size: list[Annotated[int, Int(default=1, min=1, max=LARGEST_BATCH)]],
) -> list[Image]:
    """Put the images of all batches into batches of one size; images of another size start a new batch."""
    size = batch_size[0]
    return [same[i : i + size] for same in map(torch.cat, _same_sizes(images)) for i in range(0, len(same), size)]


def _same_sizes(batches: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    for _, same in groupby(batches, key=lambda batch: batch.shape[1:]):
        yield list(same)


@new_image_node("BatchImagesNode", category="image/batch", display_name="Batch Images")
def batch_images(images: Annotated[list[Image | None], Growing("image", min=2, max=MOST_INPUTS)]) -> Image:
    """Join batches in the order of their inputs; what differs from the first in size is cut and resized to it.

    Raises:
        BadInput: nothing is linked.
    """
    given = [image for image in images if image is not None]
    if not given:
        raise BadInput("No image is linked.", type="no_images", hint="Link an image, or several of them.")
    height, width = given[0].shape[1:3]
    channels = max(image.shape[-1] for image in given)
    fitted = [i if i.shape[1:3] == (height, width) else resize_image(i, width, height, "bilinear", "center")
              for i in given]  # fmt: skip
    return torch.cat([opaque(image, channels) for image in fitted])


@new_image_node("BatchMasksNode", category="mask", display_name="Batch Masks")
def batch_masks(masks: Annotated[list[Mask], Growing("mask", min=1, max=MOST_INPUTS)]) -> Mask:
    """Join masks in the order of their inputs; what differs from the first in size is cut and resized to it."""
    flat = [mask.reshape(-1, 1, *mask.shape[-2:]) for mask in masks]
    height, width = flat[0].shape[-2:]
    fitted = [m if m.shape[-2:] == (height, width) else resize(m, width, height, "bilinear", "center") for m in flat]
    return torch.cat(fitted)[:, 0]
