"""Weights as values: the tensors of a module, read when needed, and the patches laid over them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Final, Generic, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.eight_bit_layers import castable_layers, is_eight_bit
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.model_header import Header, read_plan, read_scales, scale_names
from comfykernel_core_nodes.diffusion.weight_files import WeightFile
from comfykernel_sdk.families import Made, NetworkPlan, Shape

logger = logging.getLogger(__name__)

M_co = TypeVar("M_co", bound=nn.Module, covariant=True)

# Names that an error or a warning about tensors lists.
NAMES_SHOWN: Final = 3


class WeightPatch(Protocol):
    """A change of one weight, such as a LoRA; never changes the tensor that it is given."""

    def apply(self, weight: Tensor) -> Tensor:
        """The changed weight: same shape, float32."""


class TensorSource:
    """Tensors read when asked for, and shared by all who hold the source.

    `read_some` reads the named tensors alone; with it, a network is loaded without all of its file in memory.
    """

    def __init__(
        self,
        read: Callable[[], dict[str, Tensor]],
        shapes: Mapping[str, Shape],
        scales: Callable[[], dict[str, Tensor]] = dict,
        read_some: Callable[[Collection[str]], dict[str, Tensor]] | None = None,
        dtype_of: Callable[[str], torch.dtype] | None = None,
        eight_bit: Collection[str] = (),
    ) -> None:
        self._read = read
        self._read_scales = scales
        self._read_some = read_some
        self._dtype_of = dtype_of
        self._rounded = WeakValueDictionary[torch.dtype, TensorSource]()
        self.eight_bit = frozenset(eight_bit)
        """names of the tensors that are read as 8-bit floating-point numbers"""
        self.shapes = shapes

    @cached_property
    def scales(self) -> dict[str, Tensor]:
        """Factors that 8-bit weights were divided by, by the weights' names."""
        with torch.inference_mode(mode=False):
            return self._read_scales()

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by the module's names, on the CPU."""
        # What is kept is used in any mode, also by a caller outside of inference mode.
        with torch.inference_mode(mode=False):
            return self._read()

    def rounded(self, dtype: torch.dtype) -> TensorSource:
        """The same tensors, of a smaller floating-point type; the same source as long as somebody holds it."""
        if (known := self._rounded.get(dtype)) is not None:
            return known

        def stored(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: each.to(dtype) if each.is_floating_point() else each for name, each in tensors.items()}

        rounded = TensorSource(
            lambda: stored(self._read()),
            self.shapes,
            self._read_scales,
            lambda names: stored(self.some(names)),
            lambda _name: dtype,
            self.shapes if is_eight_bit(dtype) else (),
        )
        self._rounded[dtype] = rounded
        return rounded

    def dtype(self, name: str) -> torch.dtype:
        """The precision in which a tensor would be saved: that of its file, half for 8-bit weights with a factor."""
        if name in self.scales:
            return torch.float16
        return self.some([name])[name].dtype if self._dtype_of is None else self._dtype_of(name)

    def value(self, name: str, like: Tensor) -> Tensor:
        """A tensor as numbers on the device and in the precision of another, multiplied by its factor if it has one."""
        tensor = self.tensors[name].to(like)
        return tensor * self.scales[name].to(like) if name in self.scales else tensor

    def some(self, names: Collection[str]) -> dict[str, Tensor]:
        """A few tensors, on the CPU; those that come from a file are not kept here."""
        if self._read_some is None or "tensors" in vars(self):
            return {name: self.tensors[name] for name in names}
        with torch.inference_mode(mode=False):
            return self._read_some(names)


@dataclass(frozen=True, eq=False)
class Weights(Generic[M_co]):
    """A module as a recipe: how to build it, where its tensors come from, what is patched.

    Two values are equal only when they are the same object. `build` makes the module on the meta device.
    """

    build: Callable[[], M_co]
    source: TensorSource
    label: object
    """where the tensors come from, for messages"""
    patches: Mapping[str, tuple[WeightPatch, ...]] = field(default_factory=dict)
    device: torch.device | None = None
    """where the module shall run, None: where the memory's policy says"""
    dtype: torch.dtype | None = None
    """the precision that it shall compute in, None: what the memory's policy says"""
    packable: bool = True
    """whether layers may be laid out anew for the processor; compilers need them as they are"""

    def with_patches(self, patches: Mapping[str, WeightPatch]) -> Weights[M_co]:
        """New weights with one more patch on each named tensor; these weights stay as they are."""
        merged = dict(self.patches)
        for name, patch in patches.items():
            merged[name] = (*merged.get(name, ()), patch)
        return replace(self, patches=merged)

    def held_as(self, storage: torch.dtype | None) -> Weights[M_co]:
        """A copy, rounded to an 8-bit type where one is given and the file has none already."""
        if storage is None or self.source.eight_bit:
            return replace(self)
        return replace(self, source=self.source.rounded(storage))

    @cached_property
    def eight_bit(self) -> frozenset[str]:
        """Names of the weights that a module can hold in the 8 bits of their file.

        Those of layers that cast them in each call. A weight with patches is none: it is computed in float32 and held
        in the computing precision, so that nothing of a patch is lost to rounding.
        """
        stored = self.source.eight_bit
        changed = {name for name, patches in self.patches.items() if patches}
        return (stored & castable_layers(self.skeleton()).keys()) - changed if stored else stored

    def sizes(self, dtype: torch.dtype, *, widened: bool = False) -> dict[str, int]:
        """Bytes of each tensor of a module that computes in a precision; `widened`: 8-bit ones are held in it, too."""
        narrow = frozenset[str]() if widened else self.eight_bit
        return {
            name: torch.Size(shape).numel() * (1 if name in narrow else dtype.itemsize)
            for name, shape in self.source.shapes.items()
        }

    def size_hint(self, dtype: torch.dtype, *, widened: bool = False) -> int:
        """Bytes of a module that computes in a precision; `widened`: its 8-bit weights are held in it, too."""
        return sum(self.sizes(dtype, widened=widened).values())

    def materialise(self, device: torch.device, dtype: torch.dtype) -> M_co:
        """The module, ready to run, all of it in one precision. Tensors that need no change are shared with the source.

        Its tensors are normal ones, whether inference mode is on or not: the module may outlive the mode.
        """
        module = self.skeleton()
        with torch.inference_mode(mode=False), torch.no_grad():
            tensors = {
                name: self.converted(name, tensor, device, dtype) for name, tensor in self.source.tensors.items()
            }
            try:
                module.load_state_dict(tensors, assign=True)
            except RuntimeError as error:
                raise CheckpointError(self.label, f"does not fit its model: {_first_lines(error)}") from error
        return module

    def skeleton(self) -> M_co:
        """The module without tensors: they are on the meta device."""
        with torch.device("meta"):
            return self.build().requires_grad_(requires_grad=False).eval()

    def patched(self, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
        """One tensor with its patches, on a device and in a precision."""
        return self.converted(name, self.source.some([name])[name], device, dtype)

    def not_finite(self) -> list[str]:
        """Names of the tensors that hold NaN or infinity."""
        return [
            name
            for name, tensor in self.source.tensors.items()
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all())
        ]

    def converted(self, name: str, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        """A tensor of the source as a module on the device holds it; itself where nothing changes."""
        if name in self.source.scales:
            tensor = tensor.to(device=device, dtype=torch.float32) * self.source.scales[name].to(device)
        for patch in self.patches.get(name, ()):
            tensor = patch.apply(tensor.to(device=device, dtype=torch.float32))
        return tensor.to(device=device, dtype=dtype) if tensor.is_floating_point() else tensor.to(device)


def planned_weights(plan: NetworkPlan) -> Weights[nn.Module]:
    """The weights of a plan, checked against the network that they are for; nothing is read yet.

    Tensors that the network does not have are left out with a warning. Raises `CheckpointError` when one is missing or
    has another shape.
    """
    header = cast(Header, plan.header)
    with torch.device("meta"):
        expected = {name: tuple(tensor.shape) for name, tensor in plan.build().state_dict().items()}
    if missing := [name for name in expected if name not in plan.tensors]:
        message = f"lacks {len(missing)} tensors of its model, such as {_some(missing)}."
        raise CheckpointError(header.file.path, message, "Download or copy the file again.")
    if extra := [name for name in plan.tensors if name not in expected]:
        logger.warning(
            "%s has %d tensors that its model lacks, such as %s.", header.file.path, len(extra), _some(extra)
        )
    # In the order of the file, which is the fastest to read in.
    position = {name: number for number, name in enumerate(header.file.shapes)}
    tensors = {name: plan.tensors[name] for name in sorted(expected, key=partial(_place, plan.tensors, position))}
    for name, source in tensors.items():
        if isinstance(source, str) and header.file.shapes[source] != expected[name]:
            found, wanted = list(header.file.shapes[source]), list(expected[name])
            raise CheckpointError(
                header.file.path, f"has tensor {source!r} of shape {found}; its model needs {wanted}."
            )
    _check_types(header.file, tensors)
    file = header.file
    tensor_source = TensorSource(
        lambda: read_plan(file, tensors),
        {name: expected[name] for name in tensors},
        lambda: read_scales(file, tensors),
        lambda names: read_plan(file, {name: tensors[name] for name in names}),
        partial(_stored_dtype, file, tensors),
        [name for name in tensors if is_eight_bit(_stored_dtype(file, tensors, name))],
    )
    return Weights(plan.build, tensor_source, label=header.file.path)


def _check_types(file: WeightFile, tensors: Mapping[str, str | Made]) -> None:
    """Raise `CheckpointError` when a weight is stored in a type without fractions."""
    for name in tensors:
        dtype = _stored_dtype(file, tensors, name)
        if not dtype.is_floating_point:
            message = f"has tensor {name!r} of type {str(dtype).removeprefix('torch.')}; its model needs floating-point"
            raise CheckpointError(file.path, f"{message} numbers.", "The file is quantised in an unknown way.")


def _stored_dtype(file: WeightFile, tensors: Mapping[str, str | Made], name: str) -> torch.dtype:
    """The precision of a planned tensor, or of the first that it is made of; half for what scaled ones make."""
    source = tensors[name]
    if isinstance(source, str):
        return file.dtype(source)
    return torch.float16 if scale_names(file, source.names) else file.dtype(source.names[0])


def _place(tensors: Mapping[str, str | Made], position: Mapping[str, int], name: str) -> int:
    """Where in its file a tensor begins, or the first of those that it is made of."""
    source = tensors[name]
    return position.get(source if isinstance(source, str) else next(iter(source.names), ""), 0)


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN])


def _first_lines(error: RuntimeError) -> str:
    """The beginning of torch's list of missing and unexpected names."""
    return " ".join(str(error).split())[:300]
