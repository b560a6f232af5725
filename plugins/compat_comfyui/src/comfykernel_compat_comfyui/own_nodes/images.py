"""Saving, showing and loading pictures; subclasses change the attributes that the methods read."""

from __future__ import annotations

import hashlib
import json
import os
import random
import string
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..shims import folder_paths
from ..shims.comfy.cli_args import args

Entries = dict[str, Any]


class SaveImage:
    """Saves images as PNG with the prompt inside."""

    def __init__(self) -> None:
        self.output_dir = folder_paths.get_output_directory()
        self.type = "output"
        self.prefix_append = ""
        self.compress_level = 4

    @classmethod
    def INPUT_TYPES(cls) -> Entries:
        """The inputs by group."""
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION = "save_images"
    OUTPUT_NODE = True
    CATEGORY = "image"
    DESCRIPTION = "Saves the input images to your ComfyUI output directory."

    def save_images(
        self, images: Tensor, filename_prefix: str = "ComfyUI", prompt: Any = None, extra_pnginfo: Entries | None = None
    ) -> Entries:
        """Write one file for each image [batch, height, width, channel]; gives what clients are shown."""
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix + self.prefix_append, self.output_dir, images[0].shape[1], images[0].shape[0]
        )
        shown = []
        for number, image in enumerate(images):
            file = f"{name.replace('%batch_num%', str(number))}_{counter + number:05}_.png"
            path = os.path.join(folder, file)
            to_picture(image).save(path, pnginfo=_texts(prompt, extra_pnginfo), compress_level=self.compress_level)
            shown.append({"filename": file, "subfolder": subfolder, "type": self.type})
        return {"ui": {"images": shown}}


class PreviewImage(SaveImage):
    """Shows images without keeping them."""

    def __init__(self) -> None:
        super().__init__()
        self.output_dir = folder_paths.get_temp_directory()
        self.type = "temp"
        self.prefix_append = "_temp_" + "".join(random.choice(string.ascii_lowercase) for _ in range(5))
        self.compress_level = 1

    @classmethod
    def INPUT_TYPES(cls) -> Entries:
        """The inputs by group."""
        return {"required": {"images": ("IMAGE",)}, "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}}


class LoadImage:
    """Loads a picture from the folder of inputs."""

    @classmethod
    def INPUT_TYPES(cls) -> Entries:
        """The inputs by group."""
        folder = folder_paths.get_input_directory()
        names = os.listdir(folder) if os.path.isdir(folder) else []
        files = [name for name in names if os.path.isfile(os.path.join(folder, name))]
        pictures = folder_paths.filter_files_content_types(files, ["image"])
        return {"required": {"image": (sorted(pictures), {"image_upload": True})}}

    CATEGORY = "image"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE", "MASK")
    FUNCTION = "load_image"

    def load_image(self, image: str) -> tuple[Tensor, Tensor]:
        """Images [frames, height, width, 3] and masks, 1 where transparent; without transparency 64 by 64 zeros."""
        with Image.open(folder_paths.get_annotated_filepath(image)) as file:
            upright = (ImageOps.exif_transpose(frame) or frame for frame in ImageSequence.Iterator(file))
            frames = [frame.copy() for frame in upright]
        frames = [frame for frame in frames if frame.size == frames[0].size]
        colours = [from_picture(frame.convert("RGB")) for frame in frames]
        masks = [_transparency(frame) for frame in frames]
        return torch.cat(colours), torch.stack(masks)

    @classmethod
    def IS_CHANGED(cls, image: str) -> str:
        """The content of the file."""
        with open(folder_paths.get_annotated_filepath(image), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @classmethod
    def VALIDATE_INPUTS(cls, image: str) -> bool | str:
        """Whether there is such a file."""
        return folder_paths.exists_annotated_filepath(image) or f"Invalid image file: {image}"


def to_picture(image: Tensor) -> Image.Image:
    """A picture from [height, width, channel] in 0..1; values are truncated."""
    pixels = (255.0 * image.cpu().numpy()).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def from_picture(picture: Image.Image) -> Tensor:
    """[1, height, width, channel] in 0..1."""
    return torch.from_numpy(np.array(picture).astype(np.float32) / 255.0)[None]


def _transparency(frame: Image.Image) -> Tensor:
    if "A" in frame.getbands() or "transparency" in frame.info:
        alpha = np.array(frame.convert("RGBA").getchannel("A")).astype(np.float32) / 255.0
        return 1.0 - torch.from_numpy(alpha)
    return torch.zeros((64, 64), dtype=torch.float32)


def _texts(prompt: Any, extra_pnginfo: Entries | None) -> PngInfo | None:
    if args.disable_metadata:
        return None
    texts = PngInfo()
    if prompt is not None:
        texts.add_text("prompt", json.dumps(prompt))
    for name, value in (extra_pnginfo or {}).items():
        texts.add_text(name, json.dumps(value))
    return texts
