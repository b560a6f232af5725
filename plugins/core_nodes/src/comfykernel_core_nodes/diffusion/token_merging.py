"""Token merging: fewer queries in self-attention, similar ones being one (Bolya and Hoffman 2023, arXiv:2303.17604)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, sqrt
from typing import Final, NamedTuple

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.hook_points import Point, Site
from comfykernel_core_nodes.diffusion.unet_facts import unet_channels

# Side of the cells in which one token is chosen that others may be merged into (2 x 2, as published).
CELL: Final = 2
# Levels that are merged: the picture is halved less often than this.
LEVELS: Final = 1


def merge_tokens(model: DiffusionModel, ratio: float) -> DiffusionModel:
    """A model whose self-attention has a part `ratio` of its queries merged (0..1) at the first level.

    Which tokens can be merged into is drawn from torch's global generator; results in the field depend on it.
    """
    unet_channels(model, "Token merging")

    def around(run: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, site: Site) -> Tensor:
        height, width = site.call.latent_shape[-2:]
        halvings = ceil(sqrt(height * width // q.shape[1]))
        count = int(q.shape[1] * ratio)
        if halvings > LEVELS or count <= 0 or 1 in (height, width):
            return run(q, k, v)
        matching = match_tokens(q, height, width, count)
        return unmerged(run(merged(q, matching), k, v), matching)

    return model.with_hook(Point.SELF_AROUND, around)


class Matching(NamedTuple):
    """Which tokens of a row are merged into which; all hold indices of tokens, [batch, n]."""

    kept: Tensor
    """sources that stay on their own"""
    gone: Tensor
    """sources that are merged"""
    targets: Tensor
    """tokens that may be merged into"""
    into: Tensor
    """for each of `gone` the place in `targets`"""


def match_tokens(tokens: Tensor, height: int, width: int, count: int) -> Matching:
    """Find, for each token but one a cell, the most similar of those; the `count` best pairs are merged."""
    targets = cell_tokens(height, width).to(tokens.device)
    free = torch.ones(height * width, dtype=torch.bool, device=tokens.device)
    free[targets] = False
    sources = free.nonzero().flatten()
    unit = tokens / tokens.norm(dim=-1, keepdim=True)
    similarity, nearest = (unit[:, sources] @ unit[:, targets].transpose(1, 2)).max(dim=-1)
    order = similarity.argsort(dim=-1, descending=True)
    count = min(count, len(sources))
    batch = len(tokens)
    return Matching(
        kept=sources.expand(batch, -1).gather(1, order[:, count:]),
        gone=sources.expand(batch, -1).gather(1, order[:, :count]),
        targets=targets.expand(batch, -1),
        into=nearest.gather(1, order[:, :count]),
    )


def cell_tokens(height: int, width: int) -> Tensor:
    """One token of each cell of 2 x 2, by chance; a row or column that is left over is in no cell."""
    rows, columns = height // CELL, width // CELL
    chosen = torch.randint(CELL * CELL, (rows, columns, 1))[..., 0]
    y = torch.arange(rows)[:, None] * CELL + chosen // CELL
    x = torch.arange(columns)[None] * CELL + chosen % CELL
    return (y * width + x).flatten()


def merged(tokens: Tensor, matching: Matching) -> Tensor:
    """Tokens [batch, n, width] with those that are gone averaged into their targets: kept ones first, then targets."""
    kept, gone, targets = (_rows(tokens, index) for index in matching[:3])
    into = matching.into[..., None].expand_as(gone)
    return torch.cat([kept, targets.scatter_reduce(1, into, gone, reduce="mean")], dim=1)


def unmerged(tokens: Tensor, matching: Matching) -> Tensor:
    """All tokens again, in their places; those that are gone have the value of their target."""
    count = matching.kept.shape[1]
    kept, targets = tokens[:, :count], tokens[:, count:]
    values = torch.cat([kept, _rows(targets, matching.into), targets], dim=1)
    places = torch.cat([matching.kept, matching.gone, matching.targets], dim=1)
    return torch.empty_like(values).scatter_(1, places[..., None].expand_as(values), values)


def _rows(tokens: Tensor, index: Tensor) -> Tensor:
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))
