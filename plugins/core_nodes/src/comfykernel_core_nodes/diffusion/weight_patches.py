"""Changes of single weights: low-rank updates in their published forms.

Notation: W is the weight, s the strength, r the rank. A patch gives s * scale * dW added to W, where scale is
alpha / r, or 1 without alpha. Products are of matrices; a convolution's kernel is flattened behind its first axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.weights import TensorSource, WeightPatch


@dataclass(frozen=True, slots=True, eq=False)
class AddDifference:
    """W + s * difference."""

    difference: Tensor
    strength: float

    def apply(self, weight: Tensor) -> Tensor:
        return weight + self.strength * self.difference.to(weight).reshape(weight.shape)


@dataclass(frozen=True, slots=True, eq=False)
class SetWeight:
    """The weight itself, whatever the strength."""

    value: Tensor

    def apply(self, weight: Tensor) -> Tensor:
        return self.value.to(weight).reshape(weight.shape)


@dataclass(frozen=True, slots=True, eq=False)
class AddWeight:
    """W + the weight of a name in another model: for files that hold differences."""

    source: TensorSource
    name: str

    def apply(self, weight: Tensor) -> Tensor:
        return weight + self.source.value(self.name, weight)


@dataclass(frozen=True, slots=True, eq=False)
class OnRows:
    """Patches of parts of a weight: (first row, number of rows, patch)."""

    parts: tuple[tuple[int, int, WeightPatch], ...]

    def apply(self, weight: Tensor) -> Tensor:
        weight = weight.clone()
        for start, count, patch in self.parts:
            weight[start : start + count] = patch.apply(weight[start : start + count])
        return weight


@dataclass(frozen=True, slots=True, eq=False)
class Unchanged:
    """A patch that is known to the file but has no effect."""

    def apply(self, weight: Tensor) -> Tensor:
        return weight


@dataclass(frozen=True, slots=True, eq=False)
class LowRank:
    """LoRA (Hu et al. 2021, arXiv:2106.09685): dW = up down; `middle` is the core of a Tucker decomposition."""

    up: Tensor
    down: Tensor
    strength: float
    alpha: float | None = None
    middle: Tensor | None = None
    magnitude: Tensor | None = None

    @property
    def size(self) -> int | None:
        """Elements of the weight that this is for; None where a core decides."""
        if self.middle is not None:
            return None
        return self.up.shape[0] * (self.up.numel() // max(1, self.up.shape[:2].numel())) * self.down[:1].numel()

    def apply(self, weight: Tensor) -> Tensor:
        up, down = self.up.to(weight), self.down.to(weight)
        scale = 1.0 if self.alpha is None else self.alpha / down.shape[0]
        if self.middle is not None:
            core = self.middle.to(weight)
            down = torch.einsum("ijkl,jr->irkl", core, down.flatten(1))
        difference = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        return changed(weight, difference, scale, self.strength, self.magnitude)


@dataclass(frozen=True, slots=True, eq=False)
class Hadamard:
    """LoHa (Hyeon-Woo et al. 2021, arXiv:2108.06098): dW = (a1 b1) * (a2 b2), elementwise; cores as in Tucker."""

    pairs: tuple[tuple[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor | None]]
    strength: float
    alpha: float | None = None
    magnitude: Tensor | None = None

    def apply(self, weight: Tensor) -> Tensor:
        first, second = (product(a.to(weight), b.to(weight), core) for a, b, core in self.pairs)
        scale = 1.0 if self.alpha is None else self.alpha / self.pairs[0][1].shape[0]
        return changed(weight, (first * second).reshape(weight.shape), scale, self.strength, self.magnitude)


@dataclass(frozen=True, slots=True, eq=False)
class Kronecker:
    """LoKr (Yeh et al. 2023, arXiv:2309.14859): dW = kron(first, second); `rank` is None when both are whole."""

    first: Tensor
    second: Tensor
    strength: float
    rank: int | None = None
    alpha: float | None = None
    magnitude: Tensor | None = None

    def apply(self, weight: Tensor) -> Tensor:
        first, second = self.first.to(weight), self.second.to(weight)
        if second.ndim == 4:
            first = first[:, :, None, None]
        scale = 1.0 if self.alpha is None or self.rank is None else self.alpha / self.rank
        difference = torch.kron(first, second.contiguous()).reshape(weight.shape)
        return changed(weight, difference, scale, self.strength, self.magnitude)


@dataclass(frozen=True, slots=True, eq=False)
class Generalised:
    """GLoRA (Chavan et al. 2023, arXiv:2306.07967): dW = W a2 a1 + b2 b1, or W a1 a2 + b1 b2 in the newer layout."""

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    strength: float
    alpha: float | None = None
    magnitude: Tensor | None = None

    def apply(self, weight: Tensor) -> Tensor:
        a1, a2, b1, b2 = (tensor.to(weight).flatten(1) for tensor in (self.a1, self.a2, self.b1, self.b2))
        matrix = weight.flatten(1)
        rank_first = a1.shape[0] == a2.shape[1] == b1.shape[0] == b2.shape[1]
        rank_last = a1.shape[1] == a2.shape[0] == b1.shape[1] == b2.shape[0]
        if rank_first and (not rank_last or weight.shape[0] == weight.shape[1] == a2.shape[0]):
            rank, difference = a1.shape[0], b2 @ b1 + matrix @ a2 @ a1
        else:
            rank, difference = a2.shape[0], b1 @ b2 + matrix @ a1 @ a2
        scale = 1.0 if self.alpha is None else self.alpha / rank
        return changed(weight, difference.reshape(weight.shape), scale, self.strength, self.magnitude)


@dataclass(frozen=True, slots=True, eq=False)
class Orthogonal:
    """OFT (Qiu et al. 2023, arXiv:2306.07280): blocks of rows are rotated by Cayley transforms; alpha bounds them."""

    blocks: Tensor
    strength: float
    alpha: float | None = None
    rescale: Tensor | None = None

    def apply(self, weight: Tensor) -> Tensor:
        rotation, identity = rotations(self.blocks.to(weight), self.alpha)
        rows = weight.reshape(*self.blocks.shape[:2], *weight.shape[1:])
        turned = torch.einsum("knm,kn...->km...", (rotation - identity) * self.strength, rows)
        return weight + self.strength * turned.reshape(weight.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Butterfly:
    """BOFT (Liu et al. 2023, arXiv:2311.06243): a product of block rotations between butterfly permutations."""

    blocks: Tensor
    strength: float
    alpha: float | None = None
    rescale: Tensor | None = None

    def apply(self, weight: Tensor) -> Tensor:
        rotation, identity = rotations(self.blocks.to(weight), self.alpha)
        half = self.blocks.shape[-1] // 2
        turned = weight
        for level, block in enumerate(rotation):
            mixed = block * self.strength + (1 - self.strength) * identity
            stride = 2**level * half
            turned = turned.reshape(-1, 2, stride, *weight.shape[1:]).transpose(1, 2)
            turned = torch.einsum("bij,bj...->bi...", mixed, turned.reshape(-1, 2 * half, *weight.shape[1:]))
            turned = turned.reshape(-1, stride, 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
        if self.rescale is not None:
            turned = turned * self.rescale.to(weight).reshape(-1, *[1] * (weight.ndim - 1))
        return weight + self.strength * (turned - weight)


def rotations(blocks: Tensor, alpha: float | None) -> tuple[Tensor, Tensor]:
    """Cayley transforms (I + Q)(I - Q)^-1 of the skew parts of blocks [..., n, n], and I."""
    identity = torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    skew = blocks - blocks.transpose(-1, -2)
    if alpha is not None and alpha > 0:
        norm = float(torch.linalg.vector_norm(skew)) + 1e-8
        skew = skew * min(1.0, alpha / norm)
    return (identity + skew) @ (identity - skew).inverse(), identity


def product(a: Tensor, b: Tensor, core: Tensor | None) -> Tensor:
    """a b, or the Tucker product of a kernel's core with the factors of its first two axes."""
    if core is None:
        return a @ b
    return torch.einsum("ijkl,jr,ip->prkl", core.to(a), b, a)


def changed(weight: Tensor, difference: Tensor, scale: float, strength: float, magnitude: Tensor | None) -> Tensor:
    """Add a difference; with `magnitude`, rows or columns get its norms (DoRA, Liu et al. 2024, arXiv:2402.09353)."""
    difference = difference * scale
    if magnitude is None:
        return weight + strength * difference
    total, magnitude = weight + difference, magnitude.to(weight)
    if magnitude.shape[0] == weight.shape[0]:
        norm = torch.linalg.vector_norm(weight.flatten(1), dim=1).reshape(-1, *[1] * (weight.ndim - 1))
    else:
        columns = total.transpose(0, 1).flatten(1)
        norm = torch.linalg.vector_norm(columns, dim=1).reshape(1, -1, *[1] * (weight.ndim - 2))
    norm = norm + torch.finfo(weight.dtype).eps
    magnitude = magnitude.reshape(*magnitude.shape, *[1] * (weight.ndim - magnitude.ndim))
    scaled: Tensor = weight + strength * (total * (magnitude / norm) - weight)
    return scaled
