"""Modules on their device: their tensors read in portions, converted, patched, packed, and shared with relatives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.eight_bit_layers import castable_layers, hold_eight_bits
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.memory.packing import (
    PACKABLE_DTYPES,
    PackedConv2d,
    PackedLinear,
    packable_layers,
    packed_weight,
    take_packed,
)

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.weights import Weights

M = TypeVar("M", bound=nn.Module)

# Bytes of a file that are mapped at once while its tensors are converted: what is mapped and read counts as the
# process's memory, though the system could take it back.
PORTION_BYTES: Final = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a module's tensors lie."""

    device: torch.device
    dtype: torch.dtype
    packed: bool = False
    """layers in the order of the processor, all in the computing precision; else 8-bit weights stay 8 bits wide"""

    def sizes(self, weights: Weights[M]) -> dict[str, int]:
        """Bytes of each tensor of a module here."""
        return weights.sizes(self.dtype, widened=self.packed)

    def held(self, weights: Weights[M], name: str, tensor: Tensor) -> Tensor:
        """A tensor of the source as a module here holds it; itself where nothing changes."""
        if not self.packed and name in weights.eight_bit:
            return tensor.to(self.device)
        return weights.converted(name, tensor, self.device, self.dtype)


@dataclass(frozen=True, slots=True)
class Relative:
    """A loaded module of the same source in the same placement, whose equal tensors are shared."""

    weights: Weights[nn.Module]
    module: nn.Module

    def tensors(self, weights: Weights[nn.Module]) -> dict[str, Tensor]:
        """What can be shared with a module of other weights, by name; packed where the layer is packed."""
        held = {name: tensor for name, tensor in _tensors(self.module) if not tensor.is_meta}
        mine, others = _patch_ids(self.weights), _patch_ids(weights)
        return {name: tensor for name, tensor in held.items() if mine.get(name) == others.get(name)}


def _patch_ids(weights: Weights[nn.Module]) -> dict[str, list[int]]:
    """The very patches of each tensor: two that compare equal may still read other tensors."""
    return {name: [id(patch) for patch in patches] for name, patches in weights.patches.items() if patches}


def placed(
    weights: Weights[M], where: Placement, relative: Relative | None = None, *, left_out: Sequence[str] = ()
) -> M:
    """The module on its device, ready to run; tensors `left_out` stay on the meta device.

    Its tensors are normal ones, whether inference mode is on or not: the module may outlive the mode. Tensors that
    need no change are shared with the source. Raises `CheckpointError`.
    """
    module = unfilled(weights, where)
    layers = packable_layers(module) if where.packed and where.dtype in PACKABLE_DTYPES else {}
    expected = {name: tensor.shape for name, tensor in weights.skeleton().state_dict().items()}
    skipped = frozenset(left_out)
    wanted = [name for name in weights.source.shapes if name not in skipped]
    if missing := expected.keys() - weights.source.shapes.keys() - skipped:
        raise CheckpointError(weights.label, f"does not fit its model: it lacks {min(missing)!r}.")
    if extra := weights.source.shapes.keys() - expected.keys():
        raise CheckpointError(weights.label, f"does not fit its model, which has no {min(extra)!r}.")
    shared = relative.tensors(weights) if relative is not None else {}
    with torch.inference_mode(mode=False), torch.no_grad():
        for name, tensor in _read(weights, wanted, where, shared):
            if tensor.shape != expected[name] and not tensor.is_mkldnn:
                found, needed = list(tensor.shape), list(expected[name])
                raise CheckpointError(weights.label, f"does not fit its model: {name!r} is {found}, not {needed}.")
            if name in layers:
                take_packed(layers[name], tensor if tensor.is_mkldnn else packed_weight(layers[name], tensor))
            else:
                put(module, name, tensor)
    return module


def unfilled(weights: Weights[M], where: Placement) -> M:
    """The module as it runs in a placement, with its tensors on the meta device."""
    module = weights.skeleton()
    narrow = frozenset[str]() if where.packed else weights.eight_bit
    if narrow:
        factors = weights.source.scales
        for name, layer in castable_layers(module).items():
            if name in narrow:
                factor = factors[name].to(where.device) if name in factors else None
                hold_eight_bits(layer, where.dtype, factor)
    return module


def _read(
    weights: Weights[M], names: Sequence[str], where: Placement, shared: dict[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Tensors by name: the shared ones, then those of the source, a portion at a time."""
    for name in names:
        if name in shared:
            yield name, shared[name]
    own = [name for name in names if name not in shared]
    for portion in portions(own, where.sizes(weights)):
        raw = weights.source.some(portion)
        for name in portion:
            yield name, where.held(weights, name, raw.pop(name))


def portions(names: Sequence[str], sizes: Mapping[str, int], limit: int = PORTION_BYTES) -> Iterator[list[str]]:
    """Names in groups of about `limit` bytes, in order; sizes: bytes of each."""
    group: list[str] = []
    total = 0
    for name in names:
        group.append(name)
        total += sizes[name]
        if total >= limit:
            yield group
            group, total = [], 0
    if group:
        yield group


def put(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Give a module one of its tensors, in the place of the one that it has."""
    path, _, last = name.rpartition(".")
    owner = module.get_submodule(path)
    if last in owner._parameters:
        owner._parameters[last] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[last] = tensor


def take_away(module: nn.Module, name: str) -> None:
    """Leave a module without one of its tensors: on the meta device."""
    path, _, last = name.rpartition(".")
    owner = module.get_submodule(path)
    held: Tensor | None = owner._parameters[last] if last in owner._parameters else owner._buffers[last]
    if held is not None:
        put(module, name, torch.empty_like(held, device="meta"))


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by the names of the state dict; packed weights as they are."""
    for name, layer in module.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(layer, PackedLinear | PackedConv2d):
            yield f"{prefix}weight", layer.packed
        for key, parameter in layer._parameters.items():
            if parameter is not None:
                yield prefix + key, parameter.detach()
        for key, buffer in layer._buffers.items():
            if buffer is not None and not (key == "packed" and buffer.is_mkldnn):
                yield prefix + key, buffer


def held_tensors(module: nn.Module) -> dict[int, int]:
    """Bytes of a module's tensors by their identity, so that shared ones can be counted once."""
    sizes: dict[int, int] = {}
    for _, tensor in _tensors(module):
        key = id(tensor) if tensor.is_mkldnn else tensor.data_ptr()
        if not tensor.is_meta:
            sizes[key] = tensor.numel() * tensor.element_size()
    return sizes
