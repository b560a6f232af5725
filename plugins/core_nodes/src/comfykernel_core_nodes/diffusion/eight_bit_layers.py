"""Layers whose weights stay in the 8 bits of their file and are cast to the computing precision in each call.

A network so takes the memory of its file. What a layer computes is what it would compute with a weight that was cast
when it was loaded, bit for bit. The weight of a scaled file is multiplied by its factor in float32 before it is cast.
"""

from __future__ import annotations

from typing import Final, TypeAlias, cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

Castable: TypeAlias = nn.Linear | nn.Conv2d | nn.Embedding

WEIGHT: Final = "weight"
# The factor's name beside a weight, as in published files.
FACTOR: Final = "scale_weight"


def is_eight_bit(dtype: torch.dtype) -> bool:
    """Whether numbers of a type are floating-point ones of 8 bits."""
    return dtype.is_floating_point and dtype.itemsize == 1


class EightBitLinear(nn.Linear):
    """A linear layer with an 8-bit weight."""

    computing: torch.dtype

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight [out, in] in the computing precision; a copy."""
        return _cast(held_weight(self), self._buffers[FACTOR], self.computing)


class EightBitConv2d(nn.Conv2d):
    """A convolution with an 8-bit weight."""

    computing: torch.dtype

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight [out, in, height, width] in the computing precision; a copy."""
        return _cast(held_weight(self), self._buffers[FACTOR], self.computing)


class EightBitEmbedding(nn.Embedding):
    """A table of 8-bit rows; of one with a single factor, only the rows that are asked for are cast."""

    computing: torch.dtype

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """All rows [number, width] in the computing precision; a copy."""
        return _cast(held_weight(self), self._buffers[FACTOR], self.computing)

    def forward(self, input: Tensor) -> Tensor:
        factor, table = self._buffers[FACTOR], held_weight(self)
        if factor is not None and factor.numel() > 1:
            return functional.embedding(input, self.weight)
        rows = functional.embedding(input, table.view(torch.uint8)).view(table.dtype)
        return _cast(rows, factor, self.computing)


_FORMS: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.Linear: EightBitLinear,
    nn.Conv2d: EightBitConv2d,
    nn.Embedding: EightBitEmbedding,
}


def _cast(held: Tensor, factor: Tensor | None, dtype: torch.dtype) -> Tensor:
    return held.to(dtype) if factor is None else (held.float() * factor).to(dtype)


def held_weight(layer: nn.Module) -> Tensor:
    """A layer's weight as it lies in memory: 8 bits wide where the layer casts it."""
    held = layer._parameters[WEIGHT] if WEIGHT in layer._parameters else layer._buffers[WEIGHT]
    return cast(Tensor, held)


def castable_layers(module: nn.Module) -> dict[str, Castable]:
    """The layers of a module that can hold 8 bits, by the names of their weights; never all of its parameters."""
    found = {
        f"{name}.{WEIGHT}".removeprefix("."): cast(Castable, layer)
        for name, layer in module.named_modules()
        if type(layer) in _FORMS and WEIGHT in layer._parameters
    }
    if found and len(found) == sum(1 for _ in module.parameters()):
        # Networks are asked for the device and the precision of their first parameter.
        del found[next(iter(found))]
    return found


def hold_eight_bits(layer: Castable, computing: torch.dtype, factor: Tensor | None) -> None:
    """Turn a plain layer into one that casts its weight, which stands on the meta device until it is given.

    The weight and its factor are buffers, so that a state dict has both as a scaled file has them.
    """
    shape = held_weight(layer).shape
    del layer._parameters[WEIGHT]
    layer.__class__ = _FORMS[type(layer)]  # type: ignore[assignment]
    layer._buffers[WEIGHT] = torch.empty(shape, dtype=torch.float8_e4m3fn, device="meta")
    layer._buffers[FACTOR] = factor
    layer.computing = computing  # type: ignore[assignment]
