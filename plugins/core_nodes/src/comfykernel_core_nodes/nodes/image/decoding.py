"""From image files to tensors: orientation, animations, alpha, 16-bit and floating-point pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

import numpy as np
import torch
from PIL import Image as PillowImage
from PIL import ImageOps, ImageSequence, UnidentifiedImageError
from torch import Tensor

from comfykernel_sdk.errors import BadInput, TooLarge

WIDE_GREY_MODES: Final = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of grey pictures with 16 bits (``I`` stores them in 32)."""

LARGEST_16_BIT: Final = 65535.0

EMPTY_MASK_SIDE: Final = 64
"""Side of the mask that stands for "no mask", in pixels."""

SINGLE_PICTURE_FORMATS: Final = ("MPO",)
"""Formats whose further pictures are no frames (a second view, a thumbnail)."""

# What Pillow's decoders raise on damaged files.
DAMAGED: Final = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error
)  # fmt: skip

COLOURS: Final = ("red", "green", "blue")


def decode_image(file: BinaryIO, name: str, *, max_pixels: int) -> tuple[Tensor, Tensor]:
    """Read an image file as images [batch, height, width, 3] and masks [batch, height, width] (1 = transparent).

    An animation gives one image a frame; frames whose size differs from the first one's are left out. A file
    without transparency gives masks of zeros, 64 by 64.

    Raises:
        BadInput: the file is no image, or it is damaged.
        TooLarge: all frames together have more than ``max_pixels`` pixels; nothing beyond them is decoded.
    """
    images: list[Tensor] = []
    masks: list[Tensor | None] = []
    for frame in _frames(file, name, max_pixels):
        images.append(_rgb(frame))
        masks.append(_transparency(frame))
    return torch.stack(images), _stack_masks(masks, images[0])


def _stack_masks(masks: list[Tensor | None], image: Tensor) -> Tensor:
    if all(mask is None for mask in masks):
        return torch.zeros(len(masks), EMPTY_MASK_SIDE, EMPTY_MASK_SIDE)
    return torch.stack([torch.zeros(image.shape[:2]) if mask is None else mask for mask in masks])


def decode_mask(file: BinaryIO, name: str, channel: str, *, max_pixels: int) -> Tensor:
    """Read one channel of an image file as mask [1, height, width].

    ``channel`` is ``red``, ``green``, ``blue`` or ``alpha``; alpha is inverted (1 = transparent) and zeros where the
    file has none. Errors: as :func:`decode_image`.
    """
    picture = next(_frames(file, name, max_pixels))
    if channel != "alpha":
        return _rgb(picture)[..., COLOURS.index(channel)].unsqueeze(0)
    transparency = _transparency(picture if picture.mode in WIDE_GREY_MODES else picture.convert("RGBA"))
    mask = torch.zeros(picture.height, picture.width) if transparency is None else transparency
    return mask.unsqueeze(0)


def decode_layer(file: BinaryIO, name: str, *, max_pixels: int) -> PillowImage.Image:
    """Read the first picture of an image file with its colours and transparency (mode RGBA), upright.

    Errors: as :func:`decode_image`.
    """
    return next(_frames(file, name, max_pixels)).convert("RGBA")


def _frames(file: BinaryIO, name: str, max_pixels: int) -> Iterator[PillowImage.Image]:
    """The upright frames of a file that have the size of the first."""
    with _clear_errors(name), PillowImage.open(file) as picture:
        size, pixels = None, 0
        _check_size(picture, name, pixels, max_pixels)
        for frame in ImageSequence.Iterator(picture):
            _check_size(frame, name, pixels, max_pixels)
            pixels += frame.width * frame.height
            upright = ImageOps.exif_transpose(frame)
            size = size or upright.size
            if upright.size == size:
                yield upright
            if picture.format in SINGLE_PICTURE_FORMATS:
                return


@contextmanager
def _clear_errors(name: str) -> Iterator[None]:
    """Map Pillow's errors on damaged or oversized files to ours."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise BadInput(f"{name} is no image of a known format.", type="invalid_image") from error
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
        raise TooLarge(f"{name} has too many pixels.", details=str(error), type="image_too_large") from error
    except DAMAGED as error:
        raise BadInput(
            f"{name} is damaged or incomplete.", details=str(error), type="invalid_image", hint="Upload the file again."
        ) from error


def _check_size(picture: PillowImage.Image, name: str, before: int, limit: int) -> None:
    if before + picture.width * picture.height > limit:
        raise TooLarge(
            f"{name} has more than {limit} pixels.", type="image_too_large",
            hint="The limit is the setting execution.max_image_pixels.",
        )  # fmt: skip


def _rgb(picture: PillowImage.Image) -> Tensor:
    """Colours [height, width, 3] in 0..1."""
    if picture.mode in WIDE_GREY_MODES:
        grey = np.asarray(picture).astype(np.float32) / LARGEST_16_BIT
        return torch.from_numpy(grey.clip(0.0, 1.0)).unsqueeze(-1).repeat(1, 1, 3)
    return torch.from_numpy(np.array(picture.convert("RGB")).astype(np.float32) / 255.0)


def _transparency(picture: PillowImage.Image) -> Tensor | None:
    """How transparent each pixel is, [height, width] in 0..1; ``None`` for pictures without alpha."""
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if "A" not in picture.getbands():
        return None
    return 1.0 - torch.from_numpy(np.array(picture.getchannel("A")).astype(np.float32) / 255.0)
