"""The pack of core nodes: which modules hold nodes."""

from __future__ import annotations

from comfykernel_sdk.nodes import NodePack

from . import conditioning, image_load, image_save, image_transform, latent, loaders, mask, sampling, vae

MODULES = (loaders, conditioning, sampling, vae, latent, image_transform, image_load, image_save, mask)
"""In the order in which clients list the nodes."""


def core_pack() -> NodePack:
    """All core nodes."""
    pack = NodePack("core")
    for module in MODULES:
        pack.add_module(module)
    return pack
