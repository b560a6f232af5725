"""From image tensors to encoded files: PNG with text chunks, animated PNG and WebP."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import Json

LONGEST_KEYWORD = 79
"""Bytes that the keyword of a PNG text chunk may have (PNG specification, 11.3.3)."""

LAST_LATIN_1 = 0xFF

# EXIF tags that hold texts of an animated WebP: the prompt in Model, other texts downwards from Make.
EXIF_MODEL = 0x0110
EXIF_MAKE = 0x010F


def to_picture(image: Tensor) -> PillowImage.Image:
    """One image [height, width, channel] of 0..1 as 8-bit picture. Values are cut to 0..255 and rounded down."""
    pixels = np.clip(np.nan_to_num(255.0 * image.detach().cpu().float().numpy()), 0, 255).astype(np.uint8)
    return PillowImage.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


def encode_png(image: Tensor, texts: Mapping[str, Json], *, compress_level: int) -> bytes:
    """One image [height, width, channel] as PNG with a ``tEXt`` chunk of JSON for each text.

    ``compress_level`` goes from 0 (fast) to 9 (small).

    Raises:
        BadInput: a name of ``texts`` can't be the keyword of a chunk.
    """
    info = PngInfo()
    for keyword, value in texts.items():
        check_keyword(keyword)
        info.add_text(keyword, json.dumps(value))
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "PNG", pnginfo=info, compress_level=compress_level)
    return buffer.getvalue()


def check_keyword(keyword: str) -> None:
    """Raise ``BadInput`` where a text can't be the keyword of a PNG chunk."""
    fits = 0 < len(keyword) <= LONGEST_KEYWORD and keyword.isprintable()
    if not fits or max(map(ord, keyword)) > LAST_LATIN_1:
        raise BadInput(
            f"{keyword[:LONGEST_KEYWORD]!r} can't be stored in a PNG.", type="invalid_metadata_key",
            hint=f"Members of extra_pnginfo are named by 1 to {LONGEST_KEYWORD} printable Latin-1 characters.",
        )  # fmt: skip


def encode_apng(images: Tensor, texts: Mapping[str, Json], *, fps: float, compress_level: int) -> bytes:
    """Images [frame, height, width, channel] as one animated PNG; the texts follow in ``comf`` chunks, ``NAME\\0JSON``.

    Raises:
        BadInput: a name of ``texts`` can't be the keyword of a chunk.
    """
    info = PngInfo()
    for keyword, value in texts.items():
        check_keyword(keyword)
        info.add(b"comf", keyword.encode("latin-1") + b"\0" + json.dumps(value).encode(), after_idat=True)
    first, *others = [to_picture(image) for image in images]
    buffer = io.BytesIO()
    first.save(
        buffer, "PNG", save_all=True, append_images=others, duration=int(1000.0 / fps),
        pnginfo=info, compress_level=compress_level,
    )  # fmt: skip
    return buffer.getvalue()


def encode_webp(
    images: Tensor, texts: Mapping[str, Json], *, fps: float, lossless: bool, quality: int, method: int
) -> bytes:
    """Images [frame, height, width, channel] as one animated WebP; the texts go into EXIF as ``NAME:JSON``.

    ``quality`` goes from 0 to 100; ``method`` from 0 (fast) to 6 (small).
    """
    first, *others = [to_picture(image) for image in images]
    exif = first.getexif()
    tag = EXIF_MAKE
    for name, value in texts.items():
        if name == "prompt":
            exif[EXIF_MODEL] = f"prompt:{json.dumps(value)}"
        else:
            exif[tag] = f"{name}:{json.dumps(value)}"
            tag -= 1
    buffer = io.BytesIO()
    first.save(
        buffer, "WEBP", save_all=True, append_images=others, duration=int(1000.0 / fps),
        exif=exif, lossless=lossless, quality=quality, method=method,
    )  # fmt: skip
    return buffer.getvalue()
