"""Shapes, and pictures in folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

__all__ = ["FolderOfImages", "append_dims"]


def append_dims(x: Tensor, target_dims: int) -> Tensor:
    """A tensor with dimensions of length 1 at its end, until it has so many."""
    if x.ndim > target_dims:
        raise ValueError(f"A tensor of {x.ndim} dimensions can't become one of {target_dims}.")
    return x.reshape(*x.shape, *[1] * (target_dims - x.ndim))


class FolderOfImages(Dataset[tuple[Any]]):
    """The pictures below a folder, sorted by path."""

    IMG_EXTENSIONS = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}  # noqa: RUF012

    def __init__(self, root: str | Path, transform: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.root = Path(root)
        self.transform = transform
        self.paths = sorted(path for path in self.root.rglob("*") if path.suffix.lower() in self.IMG_EXTENSIONS)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: int) -> tuple[Any]:
        with Image.open(self.paths[key]) as picture:
            image = picture.convert("RGB")
        return (image if self.transform is None else self.transform(image),)


def default_transform(image: Tensor) -> Tensor:
    """Numbers of bytes as numbers in 0..1."""
    return image.to(torch.float32) / 255.0
