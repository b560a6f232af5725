"""The node of Chroma Radiance, a family that is not built in."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Float, Int, Socket, Toggle

chroma_node = extra_node("nodes_chroma_radiance")

Level: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=1.0)]


@chroma_node("ChromaRadianceOptions", category="model_patches/chroma_radiance")
def chroma_radiance_options(
    model: Annotated[DiffusionModel, Socket("MODEL", bare=False)],
    preserve_wrapper: Annotated[bool, Toggle(default=True)],
    start_sigma: Level,
    end_sigma: Annotated[float, Float(default=0.0, min=0.0, max=1.0)],
    nerf_tile_size: Annotated[int, Int(default=-1, min=-1)],
) -> Model:
    """Set how Chroma Radiance decodes its patches, for families that have such a decoder.

    Raises:
        BadInput: always for the built-in families, none of which decodes patches by itself.
    """
    raise BadInput(
        f"The model is of the family {model.family or 'unknown'}; these options are for Chroma Radiance alone.",
        type="wrong_model",
        hint="Take the node out: other models have nothing that it could set.",
    )
