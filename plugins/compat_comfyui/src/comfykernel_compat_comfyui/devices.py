"""The device that models run on and its memory, from the diffusion library where that is installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

import psutil
import torch

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.memory import ModelMemory


@cache
def _library_is_installed() -> bool:
    return importlib.util.find_spec("comfykernel_core_nodes") is not None


def _memory() -> ModelMemory | None:
    if not _library_is_installed():
        return None
    from .diffusion_bridge.library import default_memory

    return default_memory()


def device_of_models() -> torch.device:
    """The device that models run on."""
    memory = _memory()
    if memory is not None:
        return memory.device
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def total_memory_of(device: torch.device) -> float:
    """Bytes of a device; of one that is no CUDA device those of the machine."""
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    return float(psutil.virtual_memory().total)


def free_memory_of(device: torch.device) -> tuple[float, float]:
    """Free bytes of a device, and those among them that torch holds without using them."""
    if torch.device(device).type != "cuda":
        free = float(psutil.virtual_memory().available)
        return free, free
    counters = torch.cuda.memory_stats(device)
    held = counters.get("reserved_bytes.all.current", 0) - counters.get("active_bytes.all.current", 0)
    return float(torch.cuda.mem_get_info(device)[0] + held), float(held)


def free(*, unload_models: bool) -> None:
    """Give memory back; with ``unload_models`` the models go, too."""
    memory = _memory()
    if memory is not None:
        memory.free(unload_models=unload_models)
    elif torch.cuda.is_available():
        torch.cuda.empty_cache()


def loaded(model: object) -> None:
    """Have a model of a pack loaded; handles of comfykernel are loaded when they are used."""
    move = getattr(model, "load_to_device", None)
    if callable(move):
        move()
