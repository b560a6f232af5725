"""Colour channels and batches of two images brought together."""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor


def opaque(image: Tensor, channels: int) -> Tensor:
    """An image [..., channel] with ``channels`` of them: a missing alpha channel is 1, what is too much is left out."""
    missing = channels - image.shape[-1]
    return functional.pad(image, (0, missing), value=1.0) if missing > 0 else image[..., :channels]


def cycled(rows: Tensor, batch: int) -> Tensor:
    """Rows repeated from the first on, or cut, to a batch size."""
    return rows if len(rows) == batch else rows.repeat(-(-batch // len(rows)), *[1] * (rows.ndim - 1))[:batch]


def last_repeated(image: Tensor, batch: int) -> Tensor:
    """A batch filled up with its last image."""
    missing = batch - len(image)
    return image if missing <= 0 else image[[*range(len(image)), *[len(image) - 1] * missing]]
