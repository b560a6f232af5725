"""Where models run, in which precision, which of them stay loaded, and what happens when memory is out."""

from __future__ import annotations

from comfykernel_core_nodes.diffusion.memory.out_of_memory import OutOfMemory, first_that_fits
from comfykernel_core_nodes.diffusion.memory.owner import ModelMemory, configure_memory, default_memory
from comfykernel_core_nodes.diffusion.memory.policy import DevicePolicy, Part, Precision, cpu_has_bf16

__all__ = [
    "DevicePolicy",
    "ModelMemory",
    "OutOfMemory",
    "Part",
    "Precision",
    "configure_memory",
    "cpu_has_bf16",
    "default_memory",
    "first_that_fits",
]
