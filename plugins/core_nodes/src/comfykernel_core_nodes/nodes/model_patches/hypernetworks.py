"""The node that loads hypernetworks."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.diffusion.hypernetworks import apply_hypernetwork, load_hypernetwork
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice, Float

hypernetwork_node = extra_node("nodes_hypernetwork")


@hypernetwork_node("HypernetworkLoader", category="loaders", display_name="HypernetworkLoader")
def hypernetwork_loader(
    context: NodeContext,
    model: Model,
    hypernetwork_name: Annotated[str, Choice(source="hypernetworks", bare=True)],
    strength: Annotated[float, Float(default=1.0, min=-10.0, max=10.0, step=0.01)],
) -> Model:
    """Change the keys and values of a UNet's attention by a hypernetwork.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds no hypernetwork.
    """
    path = context.models.path("hypernetworks", hypernetwork_name)
    with reported():
        return apply_hypernetwork(model, load_hypernetwork(path), strength)
