"""Layers that are made without initial weights, and layers that bring their weights into the precision of the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from comfykernel_compat_comfyui.shims.comfy.model_management import cast_to as cast_to

WeightFunction = Callable[[Tensor], Tensor]


class CastWeightBiasOp:
    """A layer whose weights may be changed and cast each time they are used."""

    comfy_cast_weights: ClassVar[bool] = False
    weight_function: Any = ()
    bias_function: Any = ()


def cast_bias_weight(
    s: Any, input: Tensor | None = None, dtype: torch.dtype | None = None, device: Any = None,
    bias_dtype: torch.dtype | None = None, offloadable: bool = False,
) -> Any:  # fmt: skip
    """Weight and bias of a layer in the precision and on the device of an input, changed by the layer's functions.

    With ``offloadable`` a third value stands for what :func:`uncast_bias_weight` is given.
    """
    if input is not None:
        dtype, device = dtype or input.dtype, device or input.device
    weight = _changed(cast_to(s.weight, dtype, device), s.weight_function)
    bias = None if s.bias is None else _changed(cast_to(s.bias, bias_dtype or dtype, device), s.bias_function)
    return (weight, bias, None) if offloadable else (weight, bias)


def uncast_bias_weight(s: Any, weight: Tensor, bias: Tensor | None, offload_stream: Any) -> None:
    """Nothing is to be undone: weights are cast into new tensors."""


def _changed(tensor: Tensor, functions: Any) -> Tensor:
    for function in functions:
        tensor = function(tensor)
    return tensor


class _Uninitialised(CastWeightBiasOp):
    """What all layers here share."""

    def reset_parameters(self) -> None:
        """Leave the weights as memory was."""

    def forward_comfy_cast_weights(self, *inputs: Any, **options: Any) -> Tensor:
        """The layer with its weights cast to the precision of the input."""
        layer: Any = self
        own = {name: getattr(layer, name) for name in ("weight", "bias")}
        source = {name: p for name, p in own.items() if p is not None}
        first = inputs[0] if inputs[0].is_floating_point() else None
        for name, parameter in source.items():
            functions = getattr(layer, f"{name}_function")
            cast = parameter if first is None else cast_to(parameter, first.dtype, first.device)
            source[name] = _changed(cast, functions)
        result: Tensor = torch.func.functional_call(layer, source, inputs, {**options, "cast": False})
        return result

    def forward(self, *inputs: Any, cast: bool = True, **options: Any) -> Tensor:
        """The layer; with its weights cast when it is one that does so."""
        layer: Any = self
        if cast and (layer.comfy_cast_weights or len(layer.weight_function) or len(layer.bias_function)):
            return self.forward_comfy_cast_weights(*inputs, **options)
        result: Tensor = super().forward(*inputs, **options)  # type: ignore[misc]
        return result


class disable_weight_init:
    """Layers without initial weights."""

    class Linear(_Uninitialised, nn.Linear):
        """A linear layer."""

    class Conv1d(_Uninitialised, nn.Conv1d):
        """A convolution in one dimension."""

    class Conv2d(_Uninitialised, nn.Conv2d):
        """A convolution in two dimensions."""

    class Conv3d(_Uninitialised, nn.Conv3d):
        """A convolution in three dimensions."""

    class ConvTranspose1d(_Uninitialised, nn.ConvTranspose1d):
        """A transposed convolution in one dimension."""

    class ConvTranspose2d(_Uninitialised, nn.ConvTranspose2d):
        """A transposed convolution in two dimensions."""

    class GroupNorm(_Uninitialised, nn.GroupNorm):
        """Normalisation of groups of channels."""

    class LayerNorm(_Uninitialised, nn.LayerNorm):
        """Normalisation of the last dimensions."""

    class RMSNorm(_Uninitialised, nn.RMSNorm):
        """Normalisation by the root mean square."""

        bias = None

    class Embedding(_Uninitialised, nn.Embedding):
        """Rows by number."""

        bias = None

        def forward(
            self, *inputs: Any, cast: bool = True, out_dtype: torch.dtype | None = None, **options: Any
        ) -> Tensor:
            """The rows, in a precision."""
            rows = functional.embedding(inputs[0], _changed(self.weight, self.weight_function), self.padding_idx)
            return rows if out_dtype is None else rows.to(out_dtype)

    @classmethod
    def conv_nd(cls, dims: int, *args: Any, **kwargs: Any) -> nn.Module:
        """A convolution in so many dimensions."""
        layers: dict[int, type[nn.Module]] = {1: cls.Conv1d, 2: cls.Conv2d, 3: cls.Conv3d}
        return layers[dims](*args, **kwargs)


def _casting(layers: type[disable_weight_init]) -> dict[str, Any]:
    names = [name for name, layer in vars(layers).items() if isinstance(layer, type)]
    return {name: type(name, (getattr(layers, name),), {"comfy_cast_weights": True}) for name in names}


class manual_cast(disable_weight_init):
    """The same layers, with weights cast to the precision of the input."""


for _name, _layer in _casting(disable_weight_init).items():
    setattr(manual_cast, _name, _layer)


def pick_operations(
    weight_dtype: torch.dtype | None, compute_dtype: torch.dtype | None, load_device: Any = None,
    disable_fast_fp8: bool = False, fp8_optimizations: bool = False, scaled_fp8: Any = None, model_config: Any = None,
) -> type[disable_weight_init]:  # fmt: skip
    """The layers for weights of one precision that compute in another."""
    return disable_weight_init if compute_dtype is None or weight_dtype == compute_dtype else manual_cast
