"""Files of tensors: safetensors, and pickles that hold nothing but tensors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

SAFE_ENDINGS: Final = (".safetensors", ".sft")
LENGTH_BYTES: Final = 8
WRAPPERS: Final = ("state_dict",)


def load_torch_file(
    ckpt: str, safe_load: bool = False, device: torch.device | None = None, return_metadata: bool = False
) -> Any:
    """The tensors of a file by name; with ``return_metadata`` a pair with the file's own texts.

    Pickles are read by torch's loader for plain tensors only, whatever ``safe_load`` says.

    Raises:
        pickle.UnpicklingError: a pickle holds other objects.
    """
    device = device or torch.device("cpu")
    metadata: Mapping[str, str] | None = None
    if str(ckpt).lower().endswith(SAFE_ENDINGS):
        with safe_open(str(ckpt), framework="pt", device=str(device)) as file:
            tensors: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            metadata = file.metadata() if return_metadata else None
    else:
        tensors = torch.load(ckpt, map_location=device, weights_only=True)
        tensors = next((tensors[name] for name in WRAPPERS if isinstance(tensors, dict) and name in tensors), tensors)
    return (tensors, metadata) if return_metadata else tensors


def save_torch_file(sd: dict[str, Tensor], ckpt: str, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, all or nothing."""
    temporary = f"{ckpt}.{os.getpid()}.tmp"
    try:
        safetensors.torch.save_file(sd, temporary, metadata=metadata)
        os.replace(temporary, ckpt)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def safetensors_header(safetensors_path: str, max_size: int = 100 * 1024 * 1024) -> bytes | None:
    """The bytes of a file's header; ``None`` when they are more than ``max_size``."""
    with open(safetensors_path, "rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        return file.read(length) if length <= max_size else None


def convert_sd_to(state_dict: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Turn all tensors into a precision, in place."""
    for key in list(state_dict):
        state_dict[key] = state_dict[key].to(dtype)
    return state_dict
