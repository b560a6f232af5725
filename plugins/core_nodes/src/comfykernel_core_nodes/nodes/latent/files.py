"""Nodes that keep latents in files: safetensors with the ending .latent, as the field exchanges them."""

from __future__ import annotations

import json
from typing import Annotated, Final

import safetensors.torch
import torch

from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.weight_files import SafetensorsFile
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.load import content_hash
from comfykernel_sdk.context import NodeContext, current_context
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.nodes import Result
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Latent, PromptGraph, Text

SUFFIX: Final = ".latent"
TENSOR: Final = "latent_tensor"
# An empty tensor of this name says that the latent is in the autoencoder's scale; files without it are older, and in
# the scale of the diffusion model of SD1.
FORMAT_MARK: Final = "latent_format_version_0"
OLD_SCALE: Final = 0.18215


@core_node("SaveLatent", category="_for_testing", output_node=True)
def save_latent(
    context: NodeContext,
    samples: Latent,
    filename_prefix: Annotated[str, Text(default="latents/ComfyUI")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> Result[None]:
    """Save latents to the output folder, with the prompt that made them inside."""
    texts: JsonObject = {}
    if not context.settings.execution.disable_metadata:
        texts = {**({} if prompt is None else {"prompt": prompt}), **(extra_pnginfo or {})}
    tensors = {TENSOR: samples["samples"].contiguous(), FORMAT_MARK: torch.tensor([])}
    data = safetensors.torch.save(tensors, metadata={name: json.dumps(value) for name, value in texts.items()})
    place = context.files.numbered(filename_prefix, "output")
    saved = context.files.write_numbered(place, SUFFIX, data)
    shown: JsonObject = {"filename": saved.filename, "subfolder": saved.subfolder, "type": saved.type}
    return Result(ui={"latents": [shown]})


def latent_hash(latent: str) -> str:
    """SHA-256 of the file, so that the node runs again when the file has changed under its name."""
    return content_hash(latent)


def check_latent_exists(latent: str) -> bool | str:
    """``True``, or a text that says that there is no such file."""
    files = current_context().files
    try:
        files.info(files.parse(latent))
    except BadInput:
        return f"Invalid latent file: {latent}"
    return True


@core_node("LoadLatent", category="_for_testing", fingerprint=latent_hash, validate=check_latent_exists)
def load_latent(
    context: NodeContext, latent: Annotated[str, Choice(source="input", kinds=(SUFFIX,), bare=True)]
) -> Latent:
    """Read latents of the input folder.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no latent.
    """
    path = context.files.local_path(context.files.parse(latent))
    with reported():
        file = SafetensorsFile(path)
        if TENSOR not in file.shapes:
            some = ", ".join(sorted(file.shapes)[:3]) or "nothing"
            raise CheckpointError(latent, f"holds no latent: there is no tensor {TENSOR!r}, but {some}.")
        samples = file.read({TENSOR: TENSOR})[TENSOR].float()
    scale = 1.0 if FORMAT_MARK in file.shapes else 1.0 / OLD_SCALE
    return {"samples": samples * scale}
