"""Vision models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_compat_comfyui.diffusion_bridge import library
from comfykernel_compat_comfyui.diffusion_bridge.vision_face import ClipVisionModel, Output, vision_of
from comfykernel_compat_comfyui.lacking_names import lacking_function

__all__ = ["ClipVisionModel", "Output", "clip_preprocess", "load", "load_clipvision_from_sd"]

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Colours that the published CLIP models were trained with."""


def clip_preprocess(
    image: Tensor, size: int = 224, mean: Any = OPENAI_MEAN, std: Any = OPENAI_DEVIATION, crop: bool = True
) -> Tensor:
    """Images [batch, height, width, 3] in 0..1 as a vision model sees them: [batch, 3, size, size], normalised."""
    image = image[..., :3] if image.shape[-1] > 3 else image
    pixels = image.movedim(-1, 1)
    if pixels.shape[2:] != (size, size):
        if crop:
            scale = size / min(pixels.shape[2], pixels.shape[3])
            sides = (round(scale * pixels.shape[2]), round(scale * pixels.shape[3]))
        else:
            sides = (size, size)
        pixels = functional.interpolate(pixels, size=sides, mode="bicubic", antialias=True)
        top, left = (pixels.shape[2] - size) // 2, (pixels.shape[3] - size) // 2
        pixels = pixels[:, :, top : top + size, left : left + size]
    pixels = torch.clip(255.0 * pixels, 0, 255).round() / 255.0
    return (pixels - pixels.new_tensor(mean).view(3, 1, 1)) / pixels.new_tensor(std).view(3, 1, 1)


def load(ckpt_path: str) -> ClipVisionModel:
    """An image encoder."""
    return vision_of(library.load_vision_encoder(Path(ckpt_path)))


load_clipvision_from_sd = lacking_function("comfy.clip_vision.load_clipvision_from_sd")
