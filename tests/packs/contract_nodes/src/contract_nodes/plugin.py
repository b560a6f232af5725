"""Registers the pack ``contract_pack``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterNodes


@hookimpl
def register_nodes(register: RegisterNodes) -> None:
    """Give the pack."""
    from pathlib import Path

    from comfykernel_sdk.nodes import NodePack

    from . import flow, inputs, plain, showing

    pack = NodePack("contract_pack", web_directory=str(Path(__file__).parent / "web"))
    for module in (plain, showing, flow, inputs):
        pack.add_module(module)
    register(pack)
