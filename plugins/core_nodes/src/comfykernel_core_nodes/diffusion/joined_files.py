"""Several model files as one: the parts that large models are published in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.weight_files import WeightFile, open_weights


class JoinedFile:
    """The tensors of several files under one path; of a name that two files have, the first counts."""

    def __init__(self, path: Path, files: Sequence[WeightFile]) -> None:
        self.path = path
        self._files = files

    @cached_property
    def _places(self) -> Mapping[str, WeightFile]:
        return {name: file for file in reversed(self._files) for name in file.shapes}

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: file.shapes[name] for name, file in self._places.items()}

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._files[0].metadata if self._files else {}

    def dtype(self, name: str) -> torch.dtype:
        return self._places[name].dtype(name)

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        wanted: dict[int, dict[str, str]] = {}
        for name, full in names.items():
            wanted.setdefault(id(self._places[full]), {})[name] = full
        read = [file.read(wanted[id(file)]) for file in self._files if id(file) in wanted]
        return {name: tensor for tensors in read for name, tensor in tensors.items()}


def open_indexed(index: Path) -> JoinedFile:
    """The parts that an index (`*.safetensors.index.json`) names; raises `CheckpointError`."""
    try:
        table = json.loads(index.read_text())["weight_map"]
        names = sorted({str(name) for name in table.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(index, "is no index of a model's parts.", "Download or copy the folder again.") from error
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(index, f"names a part outside of its folder: {name!r}.")
    return JoinedFile(index, [open_weights(index.parent / name) for name in names])
