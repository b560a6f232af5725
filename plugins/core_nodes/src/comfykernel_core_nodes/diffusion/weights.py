"""Weights as values: the tensors of a module, read when needed, and the patches laid over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.errors import CheckpointError

M = TypeVar("M", bound=nn.Module)


class WeightPatch(Protocol):
    """A change of one weight, such as a LoRA; never changes the tensor that it is given."""

    def apply(self, weight: Tensor) -> Tensor:
        """The changed weight: same shape, float32."""


class TensorSource:
    """Tensors read once, when first asked for, and shared by all who hold the source."""

    def __init__(self, read: Callable[[], dict[str, Tensor]], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._read = read
        self.shapes = shapes

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by the module's names, on the CPU."""
        return self._read()


@dataclass(frozen=True, eq=False)
class Weights(Generic[M]):
    """A module as a recipe: how to build it, where its tensors come from, what is patched.

    Two values are equal only when they are the same object. `build` makes the module on the meta device.
    """

    build: Callable[[], M]
    source: TensorSource
    label: object
    """where the tensors come from, for messages"""
    patches: Mapping[str, tuple[WeightPatch, ...]] = field(default_factory=dict)

    def with_patches(self, patches: Mapping[str, WeightPatch]) -> Weights[M]:
        """New weights with one more patch on each named tensor; these weights stay as they are."""
        merged = dict(self.patches)
        for name, patch in patches.items():
            merged[name] = (*merged.get(name, ()), patch)
        return replace(self, patches=merged)

    def size_hint(self, dtype: torch.dtype) -> int:
        """Bytes of the module in a precision."""
        elements = sum(torch.Size(shape).numel() for shape in self.source.shapes.values())
        return elements * dtype.itemsize

    def materialise(self, device: torch.device, dtype: torch.dtype) -> M:
        """The module, ready to run. Tensors that need no change are shared with the source."""
        with torch.device("meta"):
            module = self.build()
        tensors = {name: self._patched(name, tensor, device, dtype) for name, tensor in self.source.tensors.items()}
        try:
            module.load_state_dict(tensors, assign=True)
        except RuntimeError as error:
            raise CheckpointError(self.label, f"does not fit its model: {_first_lines(error)}") from error
        return module.requires_grad_(requires_grad=False).eval()

    def _patched(self, name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        for patch in self.patches.get(name, ()):
            tensor = patch.apply(tensor.to(device=device, dtype=torch.float32))
        return tensor.to(device=device, dtype=dtype) if tensor.is_floating_point() else tensor.to(device)


def _first_lines(error: RuntimeError) -> str:
    """The beginning of torch's list of missing and unexpected names."""
    return " ".join(str(error).split())[:300]
