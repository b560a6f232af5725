"""How the nodes of this room are declared: all take a model and give one that guides its runs in another way."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.nodes import NodeDecorator
from comfykernel_sdk.sockets import Float, Out, Socket

OpenModel: TypeAlias = Annotated[DiffusionModel, Socket("MODEL", bare=False)]
BareModel: TypeAlias = Annotated[DiffusionModel, Socket("MODEL")]
PatchedModel: TypeAlias = Annotated[DiffusionModel, Socket("MODEL"), Out("patched_model")]
StartPercent: TypeAlias = Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.001)]
EndPercent: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.001)]


def declared(
    module: str, id: str, category: str, display_name: str | None = None, *, experimental: bool = False, **more: Any
) -> NodeDecorator:
    """A decorator for a node of a module of extras; clients see all of its flags."""
    given = {"deprecated": False, "api_node": False, **more}
    decorator: NodeDecorator = extra_node(module)(
        id, category=category, display_name=display_name, experimental=experimental, **given
    )
    return decorator
