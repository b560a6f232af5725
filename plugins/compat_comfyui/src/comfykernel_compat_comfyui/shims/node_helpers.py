"""Small things that nodes share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

T = TypeVar("T")
Conditions = list[list[Any]]


def conditioning_set_values(
    conditioning: Conditions, values: Mapping[str, Any] | None = None, append: bool = False
) -> Conditions:
    """Conditions with more entries; with ``append`` lists are lengthened in place of being replaced."""
    changed: Conditions = []
    for tokens, entries, *rest in conditioning:
        entries = dict(entries)
        for name, value in (values or {}).items():
            old = entries.get(name)
            entries[name] = [*old, *value] if append and old is not None else value
        changed.append([tokens, entries, *rest])
    return changed


def pillow(fn: Callable[[Any], T], arg: Any) -> T:
    """Call a function of Pillow; a file that is cut off is read as far as it goes."""
    try:
        return fn(arg)
    except (OSError, UnidentifiedImageError, ValueError):
        previous, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            return fn(arg)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = previous


def hasher() -> Callable[..., Any]:
    """The function that fingerprints of files are made with."""
    return hashlib.sha256


def string_to_torch_dtype(string: str) -> torch.dtype | None:
    """A precision by its short name; ``None`` for any other name."""
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(string)


def image_alpha_fix(destination: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Two images [batch, height, width, channel] with the same number of channels: surplus ones of the source are cut,
    a missing one of the destination's is added as opaque."""
    if destination.shape[-1] < source.shape[-1]:
        source = source[..., : destination.shape[-1]]
    elif destination.shape[-1] > source.shape[-1]:
        source = torch.nn.functional.pad(source, (0, 1), value=1.0)
    return destination, source


__all__ = [
    "Image",
    "conditioning_set_values",
    "hasher",
    "image_alpha_fix",
    "pillow",
    "string_to_torch_dtype",
]
