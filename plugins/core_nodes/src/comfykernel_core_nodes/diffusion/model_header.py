"""The header of a model file, seen below a prefix of its tensors' names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.weight_files import WeightFile
from comfykernel_sdk.families import Made, Shape

# What stands beside 8-bit weights: the factor that they were divided by, one for its input, and a mark for the file.
WEIGHT_SCALES: Final = (".scale_weight", ".weight_scale")
SIDE_TENSORS: Final = (*WEIGHT_SCALES, ".scale_input", ".input_scale", ".comfy_quant")
SCALED_MARK: Final = "scaled_fp8"


class Header:
    """Names and shapes of the tensors of `file` whose names begin with `prefix`; the prefix is left out."""

    def __init__(self, file: WeightFile, prefix: str = "", names: Mapping[str, str] | None = None) -> None:
        self.file = file
        self.prefix = prefix
        self._given = names

    @cached_property
    def names(self) -> Mapping[str, str]:
        if self._given is not None:
            return self._given
        start = len(self.prefix)
        return {
            name[start:]: name
            for name in self.file.shapes
            if name.startswith(self.prefix) and not name.endswith(SIDE_TENSORS) and not name.endswith(SCALED_MARK)
        }

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        return {name: self.file.shapes[full] for name, full in self.names.items()}

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.file.metadata

    @property
    def whole(self) -> Header:
        return Header(self.file)

    def below(self, prefix: str) -> Header:
        if self._given is None:
            return Header(self.file, self.prefix + prefix)
        start = len(prefix)
        below = {name[start:]: full for name, full in self.names.items() if name.startswith(prefix)}
        return Header(self.file, self.prefix + prefix, below)

    def renamed(self, names: Mapping[str, str]) -> Header:
        """The same tensors by other names: new -> name here."""
        return Header(self.file, self.prefix, {new: self.names[old] for new, old in names.items()})

    def tensor(self, name: str) -> Tensor:
        return self.file.read({name: self.names[name]})[name]

    def __contains__(self, name: object) -> bool:
        return name in self.shapes


def read_plan(file: WeightFile, tensors: Mapping[str, str | Made]) -> dict[str, Tensor]:
    """The tensors of a plan, read from its file; those that lie together in the file are read once."""
    plain = {name: source for name, source in tensors.items() if isinstance(source, str)}
    made = {name: source for name, source in tensors.items() if isinstance(source, Made)}
    result = file.read(plain)
    parts = file.read({name: name for source in made.values() for name in source.names})
    for name, scale in read_scales(file, {name: name for name in parts}).items():
        parts[name] = parts[name].float() * scale
    for target, source in made.items():
        result[target] = source.make([parts[name] for name in source.names])
    return result


def read_scales(file: WeightFile, tensors: Mapping[str, str | Made]) -> dict[str, Tensor]:
    """The factors of 8-bit weights, by the names of the weights; a weight that has none is not in it."""
    plain = {target: source for target, source in tensors.items() if isinstance(source, str)}
    scales = scale_names(file, plain.values())
    names = {target: scales[source] for target, source in plain.items() if source in scales}
    return {target: scale.float() for target, scale in file.read(names).items()}


def scale_names(file: WeightFile, names: Iterable[str]) -> dict[str, str]:
    """Where the factors of 8-bit weights are in a file, by the weights' names there; of a weight with one."""
    return {
        name: name.removesuffix(".weight") + ending
        for name in names
        for ending in WEIGHT_SCALES
        if name.removesuffix(".weight") + ending in file.shapes
    }


def part_of(name: str, index: int, count: int) -> Made:
    """One of `count` equal parts of a tensor along its first axis."""
    return Made((name,), lambda tensors: tensors[0].chunk(count)[index])


def transposed(name: str) -> Made:
    """A matrix with its axes swapped."""
    return Made((name,), lambda tensors: tensors[0].t())


def stacked(*names: str) -> Made:
    """Tensors joined along their first axis."""

    def join(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors))

    return Made(names, join)


def rearranged(name: str, change: Callable[[Tensor], Tensor]) -> Made:
    """One tensor, changed."""
    return Made((name,), lambda tensors: change(tensors[0]))
