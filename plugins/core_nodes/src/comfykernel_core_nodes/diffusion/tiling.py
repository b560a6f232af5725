"""Work on large maps in overlapping tiles whose edges fade into each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
from torch import Tensor


def in_tiles(
    maps: Tensor,
    work: Callable[[Tensor], Tensor],
    *,
    tile: tuple[int, int],
    overlap: int,
    scale: float,
    channels: int,
) -> Tensor:
    """Work on maps [batch, channel, height, width] tile by tile: [batch, channels, height * scale, width * scale].

    tile: height and width of a tile and overlap of neighbours, in units of the input. What fits into one tile is not
    cut. Weights of a tile rise linearly over the overlap at all its sides, and the sum is divided by theirs.
    """
    height, width = (round(side * scale) for side in maps.shape[2:])
    rows = [_row_in_tiles(row, work, tile, overlap, scale, (channels, height, width)) for row in maps.split(1)]
    return torch.cat(rows)


def _row_in_tiles(
    row: Tensor,
    work: Callable[[Tensor], Tensor],
    tile: tuple[int, int],
    overlap: int,
    scale: float,
    shape: tuple[int, int, int],
) -> Tensor:
    if row.shape[2] <= tile[0] and row.shape[3] <= tile[1]:
        return work(row)
    total = row.new_zeros(1, *shape, device="cpu")
    weights = torch.zeros_like(total)
    starts = [_starts(row.shape[2 + axis], tile[axis], overlap) for axis in range(2)]
    for top, left in product(*starts):
        part = work(row[:, :, top : top + tile[0], left : left + tile[1]]).to(total)
        weight = fading_edges(part.shape[2], part.shape[3], round(overlap * scale))
        y, x = round(top * scale), round(left * scale)
        total[:, :, y : y + part.shape[2], x : x + part.shape[3]] += part * weight
        weights[:, :, y : y + part.shape[2], x : x + part.shape[3]] += weight
    return total / weights


def _starts(side: int, tile: int, overlap: int) -> Iterator[int]:
    """Where tiles begin along one side."""
    return iter([0] if side <= tile else range(0, side - overlap, tile - overlap))


def tile_count(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> int:
    """How many tiles maps of a size (height, width) are cut into; see `in_tiles`."""
    return math.prod(len(list(_starts(size[axis], tile[axis], overlap))) for axis in range(2))


def fading_edges(height: int, width: int, feather: int) -> Tensor:
    """Weights [height, width] that rise from 1 / feather to 1 at each side; sides too short for it stay 1."""
    sides = []
    for side in (height, width):
        weight = torch.ones(side)
        if feather < side:
            ramp = torch.arange(1, feather + 1) / feather if feather else torch.ones(0)
            weight[:feather] *= ramp
            weight[side - feather :] *= ramp.flip(0)
        sides.append(weight)
    return sides[0][:, None] * sides[1][None, :]
