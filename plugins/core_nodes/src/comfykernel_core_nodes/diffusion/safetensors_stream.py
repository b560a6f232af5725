"""Safetensors files written tensor by tensor, so that no model has to be in memory as a whole.

The format (https://github.com/huggingface/safetensors): the length of a JSON header as 8 bytes, the header with the
type, the shape and the place of every tensor, then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.weight_files import TORCH_DTYPES

_NAMES: Final = {dtype: name for name, dtype in TORCH_DTYPES.items()}
# The header is filled up with spaces to a multiple of this, so that tensors lie well in memory.
ALIGNMENT: Final = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file: what the header says of it, and how it is made when its turn comes."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    make: Callable[[], Tensor]

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def given(name: str, tensor: Tensor) -> Entry:
    """A tensor that is there already."""
    return Entry(name, tensor.dtype, tuple(tensor.shape), lambda: tensor)


def file_parts(entries: Sequence[Entry], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, part by part; each tensor is made when it is asked for.

    Larger types come first, as the format's own library orders them.
    """
    ordered = sorted(entries, key=lambda entry: -entry.dtype.itemsize)
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for entry in ordered:
        end = position + entry.size
        header[entry.name] = {
            "dtype": _NAMES[entry.dtype], "shape": list(entry.shape), "data_offsets": [position, end]
        }  # fmt: skip
        position = end
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % ALIGNMENT)
    yield len(raw).to_bytes(8, "little") + raw
    for entry in ordered:
        if entry.size:
            yield _bytes_of(entry)


def _bytes_of(entry: Entry) -> memoryview:
    tensor = entry.make().detach().to("cpu", entry.dtype).contiguous()
    if tuple(tensor.shape) != entry.shape:
        raise ValueError(f"{entry.name} is of shape {list(tensor.shape)}, not {list(entry.shape)}")
    return tensor.reshape(-1).view(torch.uint8).numpy().data
