"""Layers for the CPU whose weights lie in the order in which oneDNN computes with them.

A plain layer brings its weight into that order in every call. For a UNet at 256 x 256 pixels, where most weights are
larger than what they are multiplied with, that takes a third of the time. Results are those of the plain layers.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

PACKABLE_DTYPES: Final = (torch.float32, torch.bfloat16)

# Plain layers: nothing computed after the product.
_NOTHING: Final[tuple[str, list[float], str]] = ("none", [], "")


class Packed(Protocol):
    """A layer with a packed weight."""

    packed: Tensor
    """an opaque tensor; `to_dense()` gives the weight back, bit for bit"""


class PackedLinear(nn.Linear):
    """A linear layer with a packed weight."""

    packed: Tensor

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight [out, in] in the usual order; a copy."""
        return self.packed.to_dense()

    def forward(self, input: Tensor) -> Tensor:
        if _is_plain(input, self.packed):
            return functional.linear(input, self.weight, self.bias)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.packed, self.bias, *_NOTHING)
        return out

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight


class PackedConv2d(nn.Conv2d):
    """A convolution with a packed weight; gives maps in channels-last order.

    One of a single pixel is packed as the linear layer that it is: oneDNN's orders for such convolutions are good for
    the one size that they were made for, and ten times slower than none for others.
    """

    packed: Tensor

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight [out, in, height, width] in the usual order; a copy."""
        dense = self.packed.to_dense()
        return dense if dense.ndim == 4 else dense[:, :, None, None]

    def forward(self, input: Tensor) -> Tensor:
        if _is_plain(input, self.packed) or input.ndim != 4:
            plain: Tensor = self._conv_forward(input, self.weight, self.bias)
            return plain
        if self.packed.ndim == 2:
            pixels = input.permute(0, 2, 3, 1)
            mixed: Tensor = torch.ops.mkldnn._linear_pointwise(pixels, self.packed, self.bias, *_NOTHING)
            return mixed.permute(0, 3, 1, 2)
        shape = (self.padding, self.stride, self.dilation, self.groups)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(input, self.packed, self.bias, *shape, *_NOTHING)
        return out

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight


def _is_plain(input: Tensor, packed: Tensor) -> bool:
    """Whether a call has to go the usual way: for gradients, for compilers, and for an error of another precision."""
    gradients = input.requires_grad and torch.is_grad_enabled()
    return gradients or input.dtype is not packed.dtype or torch.compiler.is_compiling()


def packable_layers(module: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers of a module that can be packed, by the names of their weights; never all of its tensors."""
    found: dict[str, nn.Linear | nn.Conv2d] = {}
    for name, layer in module.named_modules():
        plain_conv = type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        if (type(layer) is nn.Linear or plain_conv) and "weight" in layer._parameters:
            found[f"{name}.weight".removeprefix(".")] = cast("nn.Linear | nn.Conv2d", layer)
    if found and len(found) == sum(1 for _ in module.parameters()):
        # Networks are asked for the device and the precision of their first parameter.
        del found[next(iter(found))]
    return found


def packed_weight(layer: nn.Linear | nn.Conv2d, weight: Tensor) -> Tensor:
    """The packed copy of a weight for a layer of its shape."""
    packed: Tensor
    if isinstance(layer, nn.Linear) or _is_of_single_pixels(layer):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.flatten(1).contiguous(), None)
    else:
        shape = (layer.padding, layer.stride, layer.dilation, layer.groups, None)
        packed = torch.ops.mkldnn._reorder_convolution_weight(weight.contiguous(), *shape)
    return packed


def _is_of_single_pixels(layer: nn.Conv2d) -> bool:
    ones = (1, 1)
    return (layer.kernel_size, layer.stride, layer.padding, layer.groups) == (ones, ones, (0, 0), 1)


def take_packed(layer: nn.Linear | nn.Conv2d, packed: Tensor) -> None:
    """Turn a plain layer into one with a packed weight."""
    del layer._parameters["weight"]
    layer.__class__ = PackedLinear if isinstance(layer, nn.Linear) else PackedConv2d
    layer.register_buffer("packed", packed, persistent=False)
