"""Work on stored pictures: previews, channels, masks. Blocking; Pillow is imported at the first use."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, Final

from comfykernel_sdk.errors import BadInput, TooLarge

if TYPE_CHECKING:
    from PIL.Image import Image

DEFAULT_QUALITY: Final = 90
"""Of previews, 1 to 100."""

PREVIEW_FORMATS: Final = ("webp", "jpeg")


def make_preview(stream: BinaryIO, preview: str, channel: str, *, max_pixels: int) -> tuple[bytes, str]:
    """A picture in a smaller format; returns it with its content type.

    ``preview`` is ``format;quality``: webp or jpeg, everything else means webp, as does a channel with alpha.
    """
    parts = preview.split(";")
    format = parts[0] if parts[0] in PREVIEW_FORMATS and "a" not in channel else "webp"
    quality = min(max(int(parts[-1]), 1), 100) if parts[-1].isdecimal() else DEFAULT_QUALITY
    image = open_picture(stream, max_pixels=max_pixels)
    if format == "jpeg" or channel == "rgb":
        image = image.convert("RGB")
    # Of the webp encoder's efforts 2 takes less than half the time of the usual 4, for files 2 % larger.
    effort = {"method": 2} if format == "webp" else {}
    return _encoded(image, format, quality=quality, **effort), f"image/{format}"


def take_channel(stream: BinaryIO, channel: str, *, max_pixels: int) -> bytes:
    """``rgb``: the picture without its alpha; ``a``: black with the alpha. PNG."""
    image = open_picture(stream, max_pixels=max_pixels)
    if channel == "rgb":
        return _encoded(image.convert("RGB"), "png")
    from PIL import Image

    result = Image.new("RGBA", image.size)
    result.putalpha(image.convert("RGBA").getchannel("A"))
    return _encoded(result, "png")


def put_mask(original: BinaryIO, mask: bytes | bytearray, *, max_pixels: int) -> bytes:
    """The original with the alpha of a mask of the same size; keeps the original's texts. PNG.

    Raises:
        BadInput: one is no picture, or the sizes differ.
    """
    from PIL.PngImagePlugin import PngInfo

    image = open_picture(original, max_pixels=max_pixels)
    alpha = open_picture(io.BytesIO(mask), max_pixels=max_pixels).convert("RGBA").getchannel("A")
    if alpha.size != image.size:
        raise BadInput(
            "The mask has another size than the original.",
            details=f"Mask {alpha.size[0]}x{alpha.size[1]}, original {image.size[0]}x{image.size[1]}.",
            type="mask_size",
        )
    texts = PngInfo()
    for key, text in getattr(image, "text", {}).items():
        texts.add_text(key, text)
    result = image.convert("RGBA")
    result.putalpha(alpha)
    return _encoded(result, "png", pnginfo=texts, compress_level=4)


def open_picture(stream: BinaryIO, *, max_pixels: int) -> Image:
    """Decode a picture.

    Raises:
        BadInput: it is no picture, or is damaged.
        TooLarge: it has more than ``max_pixels``; found out before decoding.
    """
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked below
    try:
        image = Image.open(stream)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise BadInput("The file is no picture that can be read.", details=str(error), type="not_an_image") from None
    if image.width * image.height > max_pixels:
        raise TooLarge(
            "The picture has too many pixels.",
            details=f"{image.width}x{image.height}, at most {max_pixels} in all.",
            hint="execution.max_image_pixels sets the limit.",
            type="too_many_pixels",
        )
    try:
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise BadInput("The picture is damaged.", details=str(error), type="damaged_image") from None
    return image


def _encoded(image: Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    try:
        image.save(buffer, format, **options)
    except (OSError, ValueError) as error:
        raise BadInput("The picture can't be converted.", details=str(error), type="not_convertible") from None
    return buffer.getvalue()
