"""HyperTile: self-attention inside tiles, at the resolutions where whole pictures cost most (tfernd 2023)."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.hook_points import Point, Site
from comfykernel_core_nodes.diffusion.unet_facts import unet_channels

# Pixels that a latent unit is wide, and the least side of a tile in pixels.
LATENT_PIXELS: Final = 8
SMALLEST_TILE: Final = 32


def hyper_tile(
    model: DiffusionModel, *, tile_size: int, swap_size: int, max_depth: int, scale_depth: bool
) -> DiffusionModel:
    """A model whose self-attention sees tiles.

    Parameters:
        tile_size: least side of a tile in pixels.
        swap_size: how many of the possible numbers of tiles one is chosen from, by chance, at each call.
        max_depth: how often the resolution may be halved where there are tiles; 0 is the first level only.
        scale_depth: whether tiles grow with the depth, so that they hold as many pixels of the picture's halves.
    """
    unet_channels(model, "HyperTile")
    least = max(SMALLEST_TILE, tile_size) // LATENT_PIXELS

    def around(run: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, site: Site) -> Tensor:
        height, width = site.call.latent_shape[-2:]
        depths = [depth for depth in range(max_depth + 1) if q.shape[1] == height * width / 4**depth]
        if not depths:
            return run(q, k, v)
        # As published, the grid has the sides of the picture the other way round; its results depend on it.
        rows, columns = round(sqrt(q.shape[1] * width / height)), round(sqrt(q.shape[1] * height / width))
        smallest = least * 2 ** depths[0] if scale_depth else least
        tiles = random_tiles(rows, smallest, swap_size), random_tiles(columns, smallest, swap_size)
        if tiles == (1, 1):
            return run(q, k, v)
        q = tiled(q, rows, columns, *tiles)
        # Tiles ask; what answers is cut into as many runs of rows. Results in the field depend on this, too.
        k, v = (tokens.reshape(len(q), -1, tokens.shape[-1]) for tokens in (k, v))
        return untiled(run(q, k, v), rows, columns, *tiles)

    return model.with_hook(Point.SELF_AROUND, around)


def random_tiles(side: int, least: int, options: int) -> int:
    """Into how many equal tiles a side is cut: one of the first `options` numbers that leave tiles of at least `least`.

    Drawn from torch's global generator, where there is a choice; results in the field depend on it.
    """
    least = min(least, side)
    numbers = [side // tile for tile in range(least, side + 1) if side % tile == 0][:options]
    if len(numbers) == 1:
        return numbers[0]
    # The last of them is never drawn, as in the published method.
    return numbers[int(torch.randint(0, len(numbers) - 1, (1,)))]


def tiled(tokens: Tensor, rows: int, columns: int, down: int, across: int) -> Tensor:
    """Tokens [batch, rows * columns, width] as tiles [batch * down * across, tokens of a tile, width]."""
    grid = tokens.view(len(tokens), down, rows // down, across, columns // across, -1)
    return grid.transpose(2, 3).reshape(len(tokens) * down * across, -1, tokens.shape[-1])


def untiled(tiles: Tensor, rows: int, columns: int, down: int, across: int) -> Tensor:
    """Tiles, as `tiled` makes them, put together again."""
    grid = tiles.view(-1, down, across, rows // down, columns // across, tiles.shape[-1])
    return grid.transpose(2, 3).reshape(-1, rows * columns, tiles.shape[-1])
