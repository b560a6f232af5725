"""Model files: safetensors, checked before a byte of a tensor is read, and pickles without code.

A header is taken at its word only after it fits the file: the library below maps the file into memory, and a lying
length would end in a crash of the process instead of an error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import CheckpointError

# Bytes; the format's own limit for its JSON header.
MAX_HEADER_BYTES: Final = 100_000_000
# Entries; far above any published model, far below what would exhaust memory.
MAX_TENSORS: Final = 200_000
# Bytes an element of each dtype of the format takes.
DTYPE_BYTES: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip
TORCH_DTYPES: Final = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2, "I16": torch.int16, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32,
    "F32": torch.float32, "F64": torch.float64, "I64": torch.int64,
}  # fmt: skip
# What PyTorch says of a pickle with more than tensors in it.
_FORBIDDEN: Final = re.compile(r"GLOBAL ([\w.]+)")
PICKLE_SUFFIXES: Final = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".pkl"})


class TensorInfo(NamedTuple):
    """What the header says about a tensor; offsets in bytes from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class WeightFile(Protocol):
    """A file of named tensors."""

    path: Path

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor, without reading it."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Free text of the file's author."""

    def dtype(self, name: str) -> torch.dtype:
        """In which precision a tensor is stored."""

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Tensors on the CPU: `names` maps the name in the result to the name in the file."""


def open_weights(path: Path) -> WeightFile:
    """Open a model file by its suffix; raises `CheckpointError`."""
    if not path.is_file():
        raise CheckpointError(path, "no such file.", type="checkpoint_not_found")
    return PickleFile(path) if path.suffix.lower() in PICKLE_SUFFIXES else SafetensorsFile(path)


class SafetensorsFile:
    """A safetensors file; tensors are mapped, not copied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.infos, self.metadata = read_header(path)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: info.shape for name, info in self.infos.items()}

    def dtype(self, name: str) -> torch.dtype:
        return TORCH_DTYPES.get(self.infos[name].dtype, torch.float32)

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        try:
            with safe_open(self.path, "pt", device="cpu") as file:
                return {name: file.get_tensor(key) for name, key in names.items()}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(self.path, f"cannot be read: {error}.", "The file may have changed.") from error


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Tensors and metadata of a safetensors file, checked against the file's size; raises `CheckpointError`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise _damaged(path, f"is {size} bytes long, too short for a safetensors file", "truncated_checkpoint")
        length = int.from_bytes(prefix, "little")
        if length > MAX_HEADER_BYTES:
            raise _damaged(path, f"claims a header of {length} bytes; the limit is {MAX_HEADER_BYTES}")
        if length > size - 8:
            raise _damaged(path, f"ends inside its header ({length} bytes claimed)", "truncated_checkpoint")
        raw = file.read(length)
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "has a header that is not JSON") from error
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise _damaged(path, "has a header that is not a table of tensors")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise _damaged(path, "has metadata that is not a table")
    infos = {name: _tensor_info(path, name, entry) for name, entry in header.items()}
    _check_extents(path, infos, size - 8 - length)
    return infos, {str(key): str(value) for key, value in metadata.items()}


def _tensor_info(path: Path, name: str, entry: object) -> TensorInfo:
    if not isinstance(entry, dict):
        raise _damaged(path, f"has no description of tensor {name!r}")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if dtype not in DTYPE_BYTES:
        raise _damaged(path, f"has tensor {name!r} of unknown dtype {dtype!r}")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise _damaged(path, f"has tensor {name!r} of impossible shape {shape!r}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(o) is int and o >= 0 for o in offsets):
        raise _damaged(path, f"has tensor {name!r} at impossible offsets {offsets!r}")
    info = TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])
    needed = math.prod(shape) * DTYPE_BYTES[dtype]
    if info.end - info.start != needed:
        raise _damaged(path, f"gives tensor {name!r} {info.end - info.start} bytes; its shape needs {needed}")
    return info


def _check_extents(path: Path, infos: Mapping[str, TensorInfo], available: int) -> None:
    """Tensors follow each other without gaps and overlaps, to the end of the file."""
    position = 0
    for name, info in sorted(infos.items(), key=lambda item: item[1].start):
        if info.end > available:
            missing = info.end - available
            raise _damaged(path, f"ends {missing} bytes before tensor {name!r} does", "truncated_checkpoint")
        if info.start != position:
            raise _damaged(path, f"has a gap or an overlap before tensor {name!r}")
        position = info.end
    if position != available:
        raise _damaged(path, f"has {available - position} bytes after its last tensor")


def _damaged(path: Path, message: str, type: str = "invalid_checkpoint") -> CheckpointError:
    return CheckpointError(path, f"{message}.", "Download or copy the file again.", type=type)


class PickleFile:
    """A file of `torch.save`, read without executing code (`weights_only`); nested tables are flattened with dots."""

    metadata: Mapping[str, str] = {}

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def content(self) -> Mapping[object, object]:
        """The whole table, as it was saved; raises `CheckpointError`."""
        if not self.path.stat().st_size:
            raise _damaged(self.path, "is 0 bytes long", "truncated_checkpoint")
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        # Hostile bytes let the interpreter of pickles fail in any way (KeyError, IndexError, struct.error ...).
        except Exception as error:
            raise _unreadable(self.path, error) from error
        return content if isinstance(content, dict) else {}

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors; tables in tables are flattened."""
        content = self.content
        inner = content.get("state_dict")
        return dict(_flattened("", inner if isinstance(inner, dict) else content))

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    def dtype(self, name: str) -> torch.dtype:
        return self.tensors[name].dtype

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        return {name: self.tensors[key] for name, key in names.items()}


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    """The error for a pickle that is damaged, or that would run code when it is read."""
    if named := _FORBIDDEN.search(str(error)):
        message = f"asks for {named[1]!r}, which is no tensor: reading it could run code, so it was not read."
        return CheckpointError(path, message, "Get the model as safetensors.", type="unsafe_checkpoint")
    if isinstance(error, PermissionError):
        return CheckpointError(path, f"cannot be read: {error.strerror}.", type="unsafe_checkpoint")
    message = "cannot be read as a pickle of plain tensors: it is damaged, cut off, or holds something else."
    return CheckpointError(path, message, "Download it again, if possible as safetensors.", type="unsafe_checkpoint")


def _flattened(prefix: str, value: object) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(prefix, value)]
    if isinstance(value, dict):
        dotted = f"{prefix}." if prefix else ""
        return [item for key, inner in value.items() for item in _flattened(f"{dotted}{key}", inner)]
    return []
