"""Conditions made of others: weighted means of texts, texts behind each other, and no text at all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.errors import PromptError


def averaged(to: Sequence[Conditioning], other: Sequence[Conditioning], strength: float) -> list[Conditioning]:
    """`to` * strength + first of `other` * (1 - strength), for the tokens of `to` and for the pooled vectors.

    Where `other` has fewer tokens, zeros stand for them. Raises `PromptError` for an empty or a foreign condition.
    """
    source = _first(other, to)
    result: list[Conditioning] = []
    for condition in to:
        length = condition.tokens.shape[1]
        tokens = source.tokens[:, :length]
        tokens = functional.pad(tokens, (0, 0, 0, length - tokens.shape[1]))
        pooled = condition.pooled if condition.pooled is not None else source.pooled
        if condition.pooled is not None and source.pooled is not None:
            pooled = _mean(condition.pooled, source.pooled, strength)
        result.append(condition.with_changes(tokens=_mean(condition.tokens, tokens, strength), pooled=pooled))
    return result


def concatenated(to: Sequence[Conditioning], other: Sequence[Conditioning]) -> list[Conditioning]:
    """The tokens of each of `to`, then those of the first of `other`; all else is that of `to`."""
    source = _first(other, to)
    result: list[Conditioning] = []
    for condition in to:
        rows = max(len(condition.tokens), len(source.tokens))
        parts = [
            each if len(each) == rows else each[:1].expand(rows, -1, -1) for each in (condition.tokens, source.tokens)
        ]
        result.append(condition.with_changes(tokens=torch.cat(parts, dim=1)))
    return result


def zeroed(conditions: Sequence[Conditioning]) -> list[Conditioning]:
    """Conditions whose tokens and pooled vectors are zero."""
    return [
        each.with_changes(
            tokens=torch.zeros_like(each.tokens),
            pooled=None if each.pooled is None else torch.zeros_like(each.pooled),
        )
        for each in conditions
    ]


def _first(conditions: Sequence[Conditioning], others: Sequence[Conditioning]) -> Conditioning:
    """The condition that is mixed into others, which must be as wide."""
    if not conditions:
        raise PromptError("There is no condition to mix in: the list is empty.", "Connect the output of a text node.")
    width = conditions[0].tokens.shape[-1]
    for other in others:
        if other.tokens.shape[-1] != width:
            message = f"Conditions of {other.tokens.shape[-1]} and of {width} channels can't be mixed."
            raise PromptError(message, "Both texts must come from the text models of one family.")
    return conditions[0]


def _mean(first: Tensor, second: Tensor, strength: float) -> Tensor:
    return first * strength + second * (1.0 - strength)
