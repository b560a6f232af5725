"""Network inputs of several conditions, joined for one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.image_fitting import repeated
from comfykernel_sdk.families import LikeLatent, NetworkInput, Shared, TokenSequence

Inputs = Mapping[str, NetworkInput]
Crop = Callable[[Tensor], Tensor]

# Token sequences of unequal length run in one batch when the shorter one is repeated at most this many times.
MAX_REPEATS: Final = 4


def can_join(first: Inputs, second: Inputs) -> bool:
    """Whether the inputs of two conditions fit into one batch."""
    return first.keys() == second.keys() and all(_fit(first[name], second[name]) for name in first)


def _fit(first: NetworkInput, second: NetworkInput) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, Shared) and isinstance(second, Shared):
        return first.value is second.value or _equal(first.value, second.value)
    if isinstance(first, TokenSequence) and isinstance(second, TokenSequence):
        a, b = first.value, second.value
        shorter = min(a.shape[1], b.shape[1])
        if a.shape[2:] != b.shape[2:] or shorter == 0:
            return a.shape[1:] == b.shape[1:]
        return math.lcm(a.shape[1], b.shape[1]) <= MAX_REPEATS * shorter
    assert not isinstance(first, Shared)
    assert not isinstance(second, Shared)
    return first.value.shape[1:] == second.value.shape[1:]


def _equal(first: object, second: object) -> bool:
    """Whether two plain values are the same; tensors only where they are one object."""
    return not isinstance(first, Tensor | list | tuple) and first == second


def join_inputs(inputs: Sequence[Inputs], crops: Sequence[Crop], rows: int) -> dict[str, object]:
    """Inputs for a batch: `rows` rows for each condition, in order; `crops` cut what is like the latent."""
    joined: dict[str, object] = {}
    for name, first in inputs[0].items():
        if isinstance(first, Shared):
            joined[name] = first.value
            continue
        values: list[Tensor] = []
        for each, crop in zip(inputs, crops, strict=True):
            value = each[name]
            assert not isinstance(value, Shared)
            tensor = repeated(value.value, rows)
            values.append(crop(tensor) if isinstance(value, LikeLatent) else tensor)
        joined[name] = _equal_length(values) if isinstance(first, TokenSequence) else torch.cat(values)
    return joined


def _equal_length(sequences: Sequence[Tensor]) -> Tensor:
    """Repeat sequences to a common length: attention over repeated tokens gives the same result."""
    length = math.lcm(*(sequence.shape[1] for sequence in sequences))
    if length == 0:
        return torch.cat(list(sequences))
    return torch.cat([sequence.repeat(1, length // sequence.shape[1], 1) for sequence in sequences])
