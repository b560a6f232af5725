"""Nodes that keep a condition in a file, for runs without its text model."""

from __future__ import annotations

import json
from typing import Annotated, Final

import safetensors.torch

from comfykernel_core_nodes.diffusion.condition_files import OPTIONS, condition_content, read_condition
from comfykernel_core_nodes.nodes.conditioning.prompts import EMBEDDINGS_FOLDER
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Out, PromptGraph, Text

SUFFIX: Final = ".safetensors"

file_node = extra_node("nodes_cond")


@file_node("SaveConditioning", category="conditioning", display_name="Save Conditioning", output_node=True)
def save_conditioning(
    context: NodeContext,
    conditioning: Conditions,
    filename_prefix: Annotated[str, Text(default="conditioning/ComfyUI")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> Annotated[Conditions, Out("conditioning")]:
    """Save a condition to the output folder; moved to the folder of embeddings, it can be loaded in place of a text.

    Raises:
        BadInput: there are several conditions, or one carries what no file can hold, such as a control network.
    """
    with reported():
        tensors, options = condition_content(conditioning)
    texts: JsonObject = {OPTIONS: {**options}} if options else {}
    if not context.settings.execution.disable_metadata:
        texts |= {**({} if prompt is None else {"prompt": prompt}), **(extra_pnginfo or {})}
    data = safetensors.torch.save(tensors, metadata={name: json.dumps(value) for name, value in texts.items()})
    context.files.write_numbered(context.files.numbered(filename_prefix, "output"), SUFFIX, data)
    return conditioning


@file_node("ConditioningLoader", category="conditioning", display_name="Load Conditioning")
def conditioning_loader(
    context: NodeContext, conditioning_name: Annotated[str, Choice(source=EMBEDDINGS_FOLDER)]
) -> Conditions:
    """Load a condition that was saved as a file.

    Args:
        conditioning_name: a file of the folder of embeddings, with a tensor named conditioning.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no condition.
    """
    with reported():
        return [read_condition(context.models.path(EMBEDDINGS_FOLDER, conditioning_name))]
