"""A function over overlapping tiles of a tensor, blended at the seams."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Amount: TypeAlias = float | Callable[[float], float]
"""How much larger the result is along a dimension: a factor, or the size (or place) after as a function of before."""


def get_tiled_scale_steps(width: int, height: int, tile_x: int, tile_y: int, overlap: int) -> int:
    """Number of tiles of one picture."""
    rows = 1 if height <= tile_y else math.ceil((height - overlap) / (tile_y - overlap))
    columns = 1 if width <= tile_x else math.ceil((width - overlap) / (tile_x - overlap))
    return rows * columns


def tiled_scale(
    samples: Tensor, function: Callable[[Tensor], Tensor], tile_x: int = 64, tile_y: int = 64, overlap: int = 8,
    upscale_amount: Amount = 4, out_channels: int = 3, output_device: torch.device | str = "cpu", pbar: Any = None,
) -> Tensor:  # fmt: skip
    """Apply a function to tiles of [batch, channel, height, width]; see :func:`tiled_scale_multidim`."""
    return tiled_scale_multidim(
        samples, function, (tile_y, tile_x), overlap=overlap, upscale_amount=upscale_amount,
        out_channels=out_channels, output_device=output_device, pbar=pbar,
    )  # fmt: skip


def tiled_scale_multidim(
    samples: Tensor, function: Callable[[Tensor], Tensor], tile: Sequence[int] = (64, 64), overlap: Any = 8,
    upscale_amount: Any = 4, out_channels: int = 3, output_device: torch.device | str = "cpu",
    downscale: bool = False, index_formulas: Any = None, pbar: Any = None,
) -> Tensor:  # fmt: skip
    """Apply a function to tiles of [batch, channel, *sizes] and put the results together.

    Args:
        tile: size of a tile along each dimension.
        overlap: how far neighbours overlap, for all dimensions or for each.
        upscale_amount: size after divided by size before (with ``downscale`` the other way round), for all or each.
        index_formulas: as ``upscale_amount``, for places instead of sizes.
        pbar: its ``update(1)`` is called after each tile.
    """
    dims = len(tile)
    overlaps = _each(overlap, dims)
    sizes = _each(upscale_amount, dims)
    places = _each(index_formulas if index_formulas is not None else upscale_amount, dims)

    def after(amounts: list[Amount], dim: int, value: float) -> int:
        amount = amounts[dim]
        if callable(amount):
            return round(amount(value))
        return round(value / amount if downscale else value * amount)

    shape = [after(sizes, dim, size) for dim, size in enumerate(samples.shape[2:])]
    output = torch.empty([samples.shape[0], out_channels, *shape], device=output_device)
    for number in range(samples.shape[0]):
        sample = samples[number : number + 1]
        total = torch.zeros([1, out_channels, *shape], device=output_device)
        weight = torch.zeros_like(total)
        for starts in itertools.product(*_starts(sample.shape[2:], tile, overlaps)):
            part = sample
            for dim, start in enumerate(starts):
                part = part.narrow(dim + 2, start, min(tile[dim], sample.shape[dim + 2] - start))
            result = function(part).to(output_device)
            mask = torch.ones_like(result)
            where = [slice(None), slice(None)]
            for dim, start in enumerate(starts):
                feather = after(sizes, dim, overlaps[dim])
                _soften(mask, dim + 2, feather)
                begin = after(places, dim, start)
                where.append(slice(begin, begin + result.shape[dim + 2]))
            total[tuple(where)] += result * mask
            weight[tuple(where)] += mask
            if pbar is not None:
                pbar.update(1)
        output[number : number + 1] = total / weight
    return output


def _each(given: Any, dims: int) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given] * dims


def _starts(sizes: Sequence[int], tile: Sequence[int], overlaps: Sequence[int]) -> list[list[int]]:
    """Where tiles begin along each dimension; the last one ends at the border."""
    starts = []
    for size, length, overlap in zip(sizes, tile, overlaps, strict=True):
        if size <= length:
            starts.append([0])
            continue
        raw = range(0, size - overlap, length - overlap)
        starts.append([max(0, min(size - overlap, start)) for start in raw])
    return starts


def _soften(mask: Tensor, dim: int, feather: int) -> None:
    """Let the mask rise from its ends along a dimension, over ``feather`` places."""
    size = mask.shape[dim]
    if feather >= size:
        return
    for step in range(feather):
        factor = (step + 1) / feather
        mask.narrow(dim, step, 1).mul_(factor)
        mask.narrow(dim, size - 1 - step, 1).mul_(factor)
