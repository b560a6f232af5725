"""Values of conditions that a model gets, and how several of them become one batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from comfykernel_compat_comfyui.shims.comfy.utils import repeat_to_batch_size


class CONDRegular:
    """A tensor that is joined along the batch when shapes are equal."""

    def __init__(self, cond: Any) -> None:
        self.cond = cond

    def _copy_with(self, cond: Any) -> CONDRegular:
        return type(self)(cond)

    def process_cond(self, batch_size: int, device: Any = None, **kwargs: Any) -> CONDRegular:
        """The value for a batch of this size."""
        cond = repeat_to_batch_size(self.cond, batch_size)
        return self._copy_with(cond if device is None else cond.to(device))

    def can_concat(self, other: CONDRegular) -> bool:
        """Whether the two may be in one batch."""
        return bool(self.cond.shape == other.cond.shape)

    def concat(self, others: Sequence[CONDRegular]) -> Any:
        """One tensor of all."""
        return torch.cat([self.cond, *(other.cond for other in others)])

    def size(self) -> list[int]:
        """The shape, for estimates of memory."""
        return list(self.cond.size())


class CONDNoiseShape(CONDRegular):
    """A tensor of the latent's height and width: cut with it."""

    def process_cond(self, batch_size: int, device: Any = None, area: Any = None, **kwargs: Any) -> CONDRegular:
        """The value for a batch of this size and an area of the latent."""
        cond = self.cond
        if area is not None:
            dims = len(area) // 2
            for dim in range(dims):
                cond = cond.narrow(dim + 2, area[dim + dims], area[dim])
        cond = repeat_to_batch_size(cond, batch_size)
        return self._copy_with(cond if device is None else cond.to(device))


class CONDCrossAttn(CONDRegular):
    """Tokens [batch, tokens, width]: repeated to a common length, which attention does not notice."""

    MOST_REPEATS = 4

    def can_concat(self, other: CONDRegular) -> bool:
        """Whether repeating the shorter one a few times makes the lengths equal."""
        mine, theirs = self.cond.shape, other.cond.shape
        if mine == theirs:
            return True
        if mine[0] != theirs[0] or mine[2] != theirs[2]:
            return False
        return bool(math.lcm(mine[1], theirs[1]) // min(mine[1], theirs[1]) <= self.MOST_REPEATS)

    def concat(self, others: Sequence[CONDRegular]) -> Any:
        """One tensor of all, of the common length."""
        conds: list[Tensor] = [self.cond, *(other.cond for other in others)]
        length = math.lcm(*(cond.shape[1] for cond in conds))
        return torch.cat([cond.repeat(1, length // cond.shape[1], 1) for cond in conds])


class CONDConstant(CONDRegular):
    """A value that is the same for the whole batch."""

    def process_cond(self, batch_size: int, device: Any = None, **kwargs: Any) -> CONDRegular:
        """The value itself."""
        return self._copy_with(self.cond)

    def can_concat(self, other: CONDRegular) -> bool:
        """Whether the two are equal."""
        return bool(self.cond == other.cond)

    def concat(self, others: Sequence[CONDRegular]) -> Any:
        """The value itself."""
        return self.cond

    def size(self) -> list[int]:
        """Nothing that counts."""
        return [1]


class CONDList(CONDRegular):
    """Several tensors, each joined along the batch."""

    def process_cond(self, batch_size: int, device: Any = None, **kwargs: Any) -> CONDRegular:
        """The tensors for a batch of this size."""
        conds = [repeat_to_batch_size(cond, batch_size) for cond in self.cond]
        return self._copy_with(conds if device is None else [cond.to(device) for cond in conds])

    def can_concat(self, other: CONDRegular) -> bool:
        """Whether all shapes are equal, in order."""
        return bool([cond.shape for cond in self.cond] == [cond.shape for cond in other.cond])

    def concat(self, others: Sequence[CONDRegular]) -> Any:
        """One tensor for each place."""
        return [torch.cat(list(parts)) for parts in zip(self.cond, *(other.cond for other in others), strict=True)]

    def size(self) -> list[int]:
        """How many numbers, for estimates of memory."""
        return [1, 1, sum(cond.numel() for cond in self.cond)]
