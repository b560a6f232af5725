"""The node that compiles models."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.diffusion.compiled_regions import Backend, compile_regions
from comfykernel_core_nodes.diffusion.memory import default_memory
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.model_patches.unet_features import ListedModel
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.sockets import Choice

compile_node = extra_node("nodes_torch_compile")


@compile_node("TorchCompileModel", category="_for_testing", deprecated=False, experimental=True, api_node=False)
def torch_compile_model(
    model: ListedModel, backend: Annotated[Backend, Choice(as_list=False, options={"multiselect": False})]
) -> Model:
    """Compile the blocks of a model: the first steps take longer, all others less time.

    Raises:
        BadInput: the machine lacks a compiler, or the device such a backend.
    """
    with reported():
        return compile_regions(model, backend, default_memory().device)
