"""Pictures that packs hand over while they work, encoded for clients."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, Literal

from comfykernel_sdk.context import Preview

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY: Final = 95
"""JPEG quality of previews."""
PNG_COMPRESSION: Final = 1


def encoded_preview(preview: object) -> Preview | None:
    """A preview from ``(format, picture, longest side or None)``; anything else is none."""
    if not isinstance(preview, (tuple, list)) or len(preview) < 2:
        return None
    format, picture, *rest = preview
    return encode(picture, "PNG" if str(format).upper() == "PNG" else "JPEG", rest[0] if rest else None)


def encode(picture: Image, format: Literal["JPEG", "PNG"], longest: int | None) -> Preview:
    """A picture as bytes, fitted into a square of ``longest`` pixels."""
    from PIL import ImageOps

    if longest is not None:
        picture = ImageOps.contain(picture, (longest, longest))
    buffer = io.BytesIO()
    if format == "PNG":
        picture.save(buffer, format, compress_level=PNG_COMPRESSION)
    else:
        picture.convert("RGB").save(buffer, format, quality=QUALITY)
    return Preview(buffer.getvalue(), format)
