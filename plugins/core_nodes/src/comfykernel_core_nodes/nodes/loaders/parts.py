"""Nodes that load single parts of models: diffusion models and text models in files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import torch

from comfykernel_core_nodes.diffusion.checkpoints import load_diffusion_model, load_text_encoder, on_device, stored_as
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import ClipModel, Model
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice

sd3_node = extra_node("nodes_sd3")
hidream_node = extra_node("nodes_hidream")

STORAGE_TYPES: Final = {
    "default": None,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    # The fast choice also multiplies in 8 bits where a device can; here it is stored in 8 bits only.
    "fp8_e4m3fn_fast": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}

TextFile: TypeAlias = Annotated[str, Choice(source="text_encoders", bare=True)]
OpenTextFile: TypeAlias = Annotated[str, Choice(source="text_encoders", as_list=False, options={"multiselect": False})]
Device: TypeAlias = Annotated[str | None, Choice("default", "cpu", options={"advanced": True})]


@core_node("UNETLoader", category="advanced/loaders", display_name="Load Diffusion Model")
def unet_loader(
    context: NodeContext,
    unet_name: Annotated[str, Choice(source="diffusion_models", bare=True)],
    weight_dtype: Annotated[str, Choice(*STORAGE_TYPES, bare=True)],
) -> Model:
    """Load a diffusion model without text model and autoencoder; 8-bit types halve the memory and cost precision.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds no known diffusion model.
    """
    path = context.models.path("diffusion_models", unet_name)
    with reported():
        model = load_diffusion_model(path)
    storage = STORAGE_TYPES[weight_dtype]
    return model if storage is None else stored_as(model, storage)


@core_node("CLIPLoader", category="advanced/loaders", display_name="Load CLIP")
def clip_loader(
    context: NodeContext,
    clip_name: TextFile,
    type: Annotated[
        str,
        Choice(
            "stable_diffusion", "stable_cascade", "sd3", "stable_audio", "mochi", "ltxv", "pixart", "cosmos",
            "lumina2", "wan", "hidream", "chroma", "ace", "omnigen2", "qwen_image", "hunyuan_image",
            bare=True,
        ),
    ],
    device: Device = None,
) -> ClipModel:  # fmt: skip
    """Load the text model of a family from a file of its own.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds no text model of the kind.
        BadInput: no family of the kind is installed.
    """
    return _loaded(context, [clip_name], type, device)


@core_node("DualCLIPLoader", category="advanced/loaders")
def dual_clip_loader(
    context: NodeContext,
    clip_name1: TextFile,
    clip_name2: TextFile,
    type: Annotated[str, Choice("sdxl", "sd3", "flux", "hunyuan_video", "hidream", "hunyuan_image", bare=True)],
    device: Device = None,
) -> ClipModel:
    """Load two text models of a family from files of their own, in any order.

    Raises:
        NotFound: there is no such file.
        ModelFileError: a file is damaged, or they hold no text models of the kind.
        BadInput: no family of the kind is installed.
    """
    return _loaded(context, [clip_name1, clip_name2], type, device)


@sd3_node("TripleCLIPLoader", category="advanced/loaders")
def triple_clip_loader(
    context: NodeContext, clip_name1: OpenTextFile, clip_name2: OpenTextFile, clip_name3: OpenTextFile
) -> ClipModel:
    """Load the three text models of SD3 from files of their own, in any order.

    Raises:
        NotFound: there is no such file.
        ModelFileError: a file is damaged, or they hold no text models of SD3.
    """
    return _loaded(context, [clip_name1, clip_name2, clip_name3], "sd3")


@hidream_node("QuadrupleCLIPLoader", category="advanced/loaders")
def quadruple_clip_loader(
    context: NodeContext,
    clip_name1: OpenTextFile,
    clip_name2: OpenTextFile,
    clip_name3: OpenTextFile,
    clip_name4: OpenTextFile,
) -> ClipModel:
    """Load the four text models of HiDream from files of their own, in any order.

    Raises:
        NotFound: there is no such file.
        BadInput: no family of the kind is installed.
    """
    return _loaded(context, [clip_name1, clip_name2, clip_name3, clip_name4], "hidream")


def _loaded(context: NodeContext, names: Sequence[str], kind: str, device: str | None = None) -> TextEncoder:
    paths = [context.models.path("text_encoders", name) for name in names]
    with reported():
        clip = load_text_encoder(paths, kind)
    return on_device(clip, torch.device("cpu")) if device == "cpu" else clip
