"""Pictures as files, with the prompt in them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image as Pictures
from PIL.PngImagePlugin import PngInfo

from comfykernel_sdk.context import current

from ..shims import folder_paths
from .io_types import FolderType
from .shown_results import SavedImages, SavedResult, directory_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from .comfy_node import ComfyNode

PNG_COMPRESSION: Final = 4
EXIF_MODEL: Final = 0x0110
"""The tag of WebP files that holds the prompt; each tag below it holds one more text."""


def to_pictures(images: Tensor) -> list[Image]:
    """Pictures of [batch, height, width, channel] in 0..1; values are cut off, not rounded, when they become bytes."""
    values = np.clip(images.detach().cpu().float().numpy() * 255.0, 0, 255).astype(np.uint8)
    return [Pictures.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture) for picture in values]


def texts_of(cls: type[ComfyNode] | None) -> dict[str, str]:
    """The prompt and what the client sent along, as JSON texts; nothing when the server writes no such data."""
    context = current.get()
    if cls is None or cls.hidden is None or (context is not None and context.settings.execution.disable_metadata):
        return {}
    prompt: object = getattr(cls.hidden, "prompt", None)
    extra: Mapping[str, object] = getattr(cls.hidden, "extra_pnginfo", None) or {}
    texts = {"prompt": json.dumps(prompt)} if prompt is not None else {}
    return texts | {str(key): json.dumps(value) for key, value in extra.items()}


class ImageSaveHelper:
    """Writes pictures in the forms that the page and other programs read the prompt from."""

    @staticmethod
    def save_images(
        images: Tensor,
        filename_prefix: str,
        folder_type: FolderType,
        cls: type[ComfyNode] | None,
        compress_level: int = PNG_COMPRESSION,
    ) -> list[SavedResult]:
        """Write one PNG file for each picture."""
        info = PngInfo()
        for key, text in texts_of(cls).items():
            info.add_text(key, text)
        write = numbered(filename_prefix, folder_type, images, ".png")
        return [
            write(picture_bytes(picture, "PNG", pnginfo=info, compress_level=compress_level))
            for picture in to_pictures(images)
        ]

    @staticmethod
    def get_save_images_ui(
        images: Tensor, filename_prefix: str, cls: type[ComfyNode] | None, compress_level: int = PNG_COMPRESSION
    ) -> SavedImages:
        """Write pictures among the results, for ``NodeOutput(ui=...)``."""
        return SavedImages(ImageSaveHelper.save_images(images, filename_prefix, FolderType.output, cls, compress_level))

    @staticmethod
    def save_animated_png(
        images: Tensor,
        filename_prefix: str,
        folder_type: FolderType,
        cls: type[ComfyNode] | None,
        fps: float,
        compress_level: int,
    ) -> SavedResult:
        """Write one PNG file that moves, ``fps`` pictures a second."""
        info = PngInfo()
        for key, text in texts_of(cls).items():
            info.add(b"comf", key.encode("latin-1") + b"\0" + text.encode("latin-1"), after_idat=True)
        first, *others = to_pictures(images)
        data = picture_bytes(
            first, "PNG", pnginfo=info, compress_level=compress_level, save_all=True, append_images=others,
            duration=int(1000.0 / fps),
        )  # fmt: skip
        return numbered(filename_prefix, folder_type, images, ".png")(data)

    @staticmethod
    def get_save_animated_png_ui(
        images: Tensor, filename_prefix: str, cls: type[ComfyNode] | None, fps: float, compress_level: int
    ) -> SavedImages:
        """Write a PNG file that moves among the results, for ``NodeOutput(ui=...)``."""
        result = ImageSaveHelper.save_animated_png(images, filename_prefix, FolderType.output, cls, fps, compress_level)
        return SavedImages([result], is_animated=len(images) > 1)

    @staticmethod
    def save_animated_webp(
        images: Tensor,
        filename_prefix: str,
        folder_type: FolderType,
        cls: type[ComfyNode] | None,
        fps: float,
        lossless: bool,
        quality: int,
        method: int,
    ) -> SavedResult:
        """Write one WebP file that moves, ``fps`` pictures a second."""
        first, *others = to_pictures(images)
        exif = first.getexif()
        for offset, (key, text) in enumerate(texts_of(cls).items()):
            exif[EXIF_MODEL - offset] = f"{key}:{text}"
        data = picture_bytes(
            first, "WEBP", exif=exif, save_all=True, append_images=others, duration=int(1000.0 / fps),
            lossless=lossless, quality=quality, method=method,
        )  # fmt: skip
        return numbered(filename_prefix, folder_type, images, ".webp")(data)

    @staticmethod
    def get_save_animated_webp_ui(
        images: Tensor,
        filename_prefix: str,
        cls: type[ComfyNode] | None,
        fps: float,
        lossless: bool,
        quality: int,
        method: int,
    ) -> SavedImages:
        """Write a WebP file that moves among the results, for ``NodeOutput(ui=...)``."""
        result = ImageSaveHelper.save_animated_webp(
            images, filename_prefix, FolderType.output, cls, fps, lossless, quality, method
        )
        return SavedImages([result], is_animated=len(images) > 1)


def picture_bytes(picture: Image, format: str, **options: object) -> bytes:
    """A picture in a file format."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def numbered(
    prefix: str, folder_type: FolderType, images: Tensor | None, ending: str
) -> Callable[[bytes], SavedResult]:
    """A function that writes files under the next free numbers."""
    height, width = (int(images.shape[1]), int(images.shape[2])) if images is not None else (0, 0)
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
        prefix, directory_of(folder_type), width, height
    )
    written = 0

    def write(data: bytes) -> SavedResult:
        nonlocal written
        file = f"{name.replace('%batch_num%', str(written))}_{counter + written:05}_{ending}"
        written += 1
        # A file is there as a whole or not at all.
        temporary = os.path.join(folder, f".{file}.{os.getpid()}.tmp")
        with open(temporary, "wb") as stream:
            stream.write(data)
        os.replace(temporary, os.path.join(folder, file))
        return SavedResult(file, subfolder, FolderType(folder_type))

    return write
