"""The nodes that packs know by name, as classes, and what stands beside them."""

from __future__ import annotations

from typing import Any, Final

from comfykernel_compat_comfyui.lacking_names import node_or_missing
from comfykernel_compat_comfyui.loading.node_table import NodeTable
from comfykernel_compat_comfyui.own_nodes.images import LoadImage, PreviewImage, SaveImage
from comfykernel_compat_comfyui.own_nodes.sampling import common_ksampler
from comfykernel_compat_comfyui.running_nodes import stop_if_interrupted

__all__ = ["LoadImage", "PreviewImage", "SaveImage", "common_ksampler"]

MAX_RESOLUTION: Final = 16384
"""Largest side of an image, in pixels."""

NODE_CLASS_MAPPINGS = NodeTable()
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {}
EXTENSION_WEB_DIRS: dict[str, str] = {}
LOADED_MODULE_DIRS: dict[str, str] = {}


def before_node_execution() -> None:
    """Stop here when the prompt is to stop."""
    stop_if_interrupted()


def interrupt_processing(value: bool = True) -> None:
    """Have the running prompt stop at its next step."""
    from comfykernel_compat_comfyui.shims.comfy import model_management

    model_management.interrupt_current_processing(value)


def __getattr__(name: str) -> Any:
    """A node of comfykernel as a class."""
    return node_or_missing("nodes", name)
