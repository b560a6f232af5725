"""The pack of core nodes: which rooms there are; each room says which of its modules hold nodes."""

from __future__ import annotations

from comfykernel_sdk.nodes import NodePack

from . import (
    conditioning,
    control,
    editing,
    guidance,
    hooks,
    image,
    latent,
    loaders,
    logic,
    mask,
    merging,
    model_patches,
    model_sampling,
    sampling,
    text,
    vision,
)
from .merging import blocks_of_families

ROOMS = (
    loaders, conditioning, sampling, latent, image, mask, control, vision, editing, guidance,
    model_patches, model_sampling, hooks, merging, text, logic,
)  # fmt: skip
"""In the order in which clients list the nodes."""


def core_pack() -> NodePack:
    """All core nodes."""
    pack = NodePack("core")
    for room in ROOMS:
        for module in room.MODULES:
            pack.add_module(module)
    for definition in blocks_of_families.definitions():
        pack.add(definition)
    return pack
