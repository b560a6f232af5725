"""Batches of another size."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor


def repeat_to_batch_size(tensor: Tensor, batch_size: int, dim: int = 0) -> Tensor:
    """The first ``batch_size`` entries along a dimension, begun anew at the end."""
    size = tensor.shape[dim]
    if size == batch_size:
        return tensor
    return tensor.index_select(dim, torch.arange(batch_size, device=tensor.device) % size)


def resize_to_batch_size(tensor: Tensor, batch_size: int) -> Tensor:
    """A batch of another size: entries at even distances, interpolated when the batch grows."""
    size = tensor.shape[0]
    if size == batch_size:
        return tensor
    if batch_size <= 1:
        return tensor[:batch_size]
    positions = torch.linspace(0, size - 1, batch_size)
    if batch_size < size:
        return tensor[positions.round().long()]
    left = positions.floor().long().clamp(max=size - 1)
    right = (left + 1).clamp(max=size - 1)
    part = (positions - left).to(tensor).reshape(-1, *[1] * (tensor.ndim - 1))
    return tensor[left] * (1.0 - part) + tensor[right] * part


def string_to_seed(data: str | bytes) -> int:
    """A seed made of a text: its CRC-32."""
    return zlib.crc32(data.encode("utf-8") if isinstance(data, str) else data)
