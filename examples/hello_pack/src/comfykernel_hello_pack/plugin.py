"""Hands the nodes of this pack to comfykernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterNodes


@hookimpl
def register_nodes(register: RegisterNodes) -> None:
    """Called in every worker; the nodes import torch, so they are imported here."""
    from comfykernel_sdk.nodes import NodePack

    from . import nodes

    register(NodePack("hello", [nodes.greeting, nodes.vignette]))
