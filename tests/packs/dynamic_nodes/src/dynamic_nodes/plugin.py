"""Registers the pack ``dynamic_nodes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterNodes


@hookimpl
def register_nodes(register: RegisterNodes) -> None:
    """Give the pack."""
    from pathlib import Path

    from comfykernel_sdk.nodes import NodePack, Replacement

    from . import nodes

    replacements = [
        Replacement(
            old="OldScale",
            new="DynamicResize",
            inputs={"value": "picture", "how.factor": "scale_by"},
            values={"how": "by factor"},
            outputs={1: 0},
            widgets=["scale_by"],
        ),
        Replacement(old="OldShow", new="DynamicShow"),
    ]
    pack = NodePack("dynamic_nodes", directory=str(Path(__file__).parent), replacements=replacements)
    pack.add_module(nodes)
    register(pack)
