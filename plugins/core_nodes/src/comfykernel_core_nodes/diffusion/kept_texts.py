"""Texts that networks see again at every step, and what their layers made of them.

A step at 256 x 256 pixels spends 1 % (SD1.5) to 7 % (SDXL) of its operations on keys and values of a text that are
those of the step before. Accelerators don't notice them, and would have to wait for a comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

# Both sides of guidance, where they don't run in one batch.
KEPT: Final = 2
# Rows times tokens of the largest text that is kept: 55 MB of keys and values in SDXL for a batch of two.
MAX_TOKENS: Final = 1024

Pair = tuple[Tensor, Tensor]


class RecentTexts:
    """The texts that a network saw last; one that comes again is given as the object that it was."""

    def __init__(self) -> None:
        self._texts: list[Tensor] = []

    def same(self, text: Tensor) -> Tensor:
        """The known text [batch, tokens, width] with these values, else this one, which is known from now on."""
        if not _may_be_kept(text):
            return text
        for known in self._texts:
            if known.shape == text.shape and known.dtype == text.dtype and torch.equal(known, text):
                return known
        self._texts = [*self._texts[1 - KEPT :], text]
        return text


class KeptProjections:
    """Keys and values that a layer made of its last texts. Weights of a loaded network never change."""

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, Pair]] = []

    def of(self, text: Tensor, project: Callable[[Tensor], Pair]) -> Pair:
        """The projections of a text, which are made only if it is another object than the last ones."""
        if not _may_be_kept(text):
            return project(text)
        for known, pair in self._kept:
            if known is text:
                return pair
        pair = project(text)
        self._kept = [*self._kept[1 - KEPT :], (text, pair)]
        return pair


def _may_be_kept(text: Tensor) -> bool:
    if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
        return False
    return text.device.type == "cpu" and text.shape[0] * text.shape[1] <= MAX_TOKENS
