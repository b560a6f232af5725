"""The pack of core nodes: which modules hold nodes."""

from __future__ import annotations

from comfykernel_sdk.nodes import NodePack

from .conditioning import prompts
from .image import load, save, transform
from .latent import pixels, shapes
from .loaders import checkpoints
from .mask import channels
from .sampling import ksampler

MODULES = (
    checkpoints, prompts, ksampler,
    pixels, shapes,
    transform, load, save, channels,
)  # fmt: skip
"""In the order in which clients list the nodes."""


def core_pack() -> NodePack:
    """All core nodes."""
    pack = NodePack("core")
    for module in MODULES:
        pack.add_module(module)
    return pack
