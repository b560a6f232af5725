"""What this distribution gives to the kernel: the core nodes, and word of the memory that their models hold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfykernel_sdk.hooks import RegisterModelFamily, RegisterNodes
    from comfykernel_sdk.nodes import NodePack
    from comfykernel_sdk.scheduler import DeviceStatus
    from comfykernel_sdk.settings import Settings


@hookimpl
def register_nodes(register: RegisterNodes, settings: Settings) -> None:
    """Give the pack ``core``; imports torch and applies the settings of device, precision and image size."""
    # torch asks for large pages once, at its first allocation; weights on the CPU are read a few percent faster then.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from .nodes.pack import core_pack
    from .nodes.worker_process import apply_settings

    apply_settings(settings)
    register(core_pack())


@hookimpl
def wrap_nodes(packs: Sequence[NodePack]) -> None:
    """Where memory is out in a node, of whatever pack, have it freed and the node called once more."""
    from .nodes.second_attempts import give_second_attempts

    give_second_attempts(packs)


@hookimpl(trylast=True)
def register_model_families(register: RegisterModelFamily) -> None:
    """Give the architectures of the diffusion library; families of others are asked before."""
    from .diffusion.families import BUILT_IN

    for family in BUILT_IN:
        register(family)


@hookimpl
def free_memory(unload_models: bool) -> None:
    """Let go of cached memory, and with ``unload_models`` of the models."""
    from .nodes.worker_process import free

    free(unload_models=unload_models)


@hookimpl
def model_memory() -> int:
    """Bytes of the models that are loaded."""
    from .nodes.worker_process import loaded_bytes

    return loaded_bytes()


@hookimpl
def device_status() -> DeviceStatus | None:
    """The device of this worker with its memory."""
    from .nodes.worker_process import status

    return status()
