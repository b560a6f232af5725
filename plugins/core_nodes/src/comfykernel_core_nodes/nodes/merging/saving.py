"""Nodes that save models as safetensors, in the layout in which their family is published."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.image_codec import ImageCodec
from comfykernel_core_nodes.diffusion.safetensors_stream import Entry, file_parts
from comfykernel_core_nodes.diffusion.saved_layouts import (
    checkpoint_entries,
    layout_metadata,
    model_entries,
    text_entries,
    text_file,
    weight_entries,
)
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder
from comfykernel_core_nodes.nodes.conditioning.prompts import present_clip
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import missing_part, reported
from comfykernel_core_nodes.nodes.merging.whole_models import CATEGORY
from comfykernel_core_nodes.nodes.sockets import ClipModel, Codec, Model, VaeModel
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.sockets import ExtraPngInfo, PromptGraph, Socket, Text

merging_node = extra_node("nodes_model_merging")
video_node = extra_node("nodes_video_model")

ENDING = ".safetensors"

ClipVisionModel: TypeAlias = Annotated[VisionEncoder | None, Socket("CLIP_VISION")]


@merging_node("CheckpointSave", category=CATEGORY, display_name="Save Checkpoint", output_node=True)
def checkpoint_save(
    context: NodeContext,
    model: Model,
    clip: ClipModel,
    vae: VaeModel,
    filename_prefix: Annotated[str, Text(default="checkpoints/ComfyUI")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save a model with its text models and its autoencoder as one checkpoint.

    Raises:
        BadInput: the text models are of another family, or the autoencoder has no weights.
    """
    with reported():
        entries = checkpoint_entries(model, clip, None if vae is None else _saveable(vae))
    _save_model(context, model, entries, filename_prefix, _texts(context, prompt, extra_pnginfo))


@video_node("ImageOnlyCheckpointSave", category=CATEGORY, output_node=True)
def image_only_checkpoint_save(
    context: NodeContext,
    model: Model,
    clip_vision: ClipVisionModel,
    vae: VaeModel,
    filename_prefix: Annotated[str, Text(default="checkpoints/ComfyUI")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save a model with its image encoder and its autoencoder as one checkpoint.

    Raises:
        BadInput: the autoencoder has no weights.
    """
    with reported():
        entries = checkpoint_entries(model, None, None if vae is None else _saveable(vae), clip_vision)
    _save_model(context, model, entries, filename_prefix, _texts(context, prompt, extra_pnginfo))


@merging_node("ModelSave", category=CATEGORY, output_node=True)
def model_save(
    context: NodeContext,
    model: Model,
    filename_prefix: Annotated[str, Text(default="diffusion_models/ComfyUI")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save a diffusion model alone."""
    entries = model_entries(model)
    _save_model(context, model, entries, filename_prefix, _texts(context, prompt, extra_pnginfo))


@merging_node("CLIPSave", category=CATEGORY, output_node=True)
def clip_save(
    context: NodeContext,
    clip: ClipModel,
    filename_prefix: Annotated[str, Text(default="clip/ComfyUI")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save text models, each in a file of its own."""
    texts = _texts(context, prompt, extra_pnginfo)
    for part, each in present_clip(clip).parts.items():
        name, form = text_file(part)
        entries = text_entries(each.weights, "", form)
        save_entries(context, entries, f"{filename_prefix}_{name}", {"format": "pt", **texts})


@merging_node("VAESave", category=CATEGORY, output_node=True)
def vae_save(
    context: NodeContext,
    vae: VaeModel,
    filename_prefix: Annotated[str, Text(default="vae/ComfyUI_vae")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save an autoencoder.

    Raises:
        BadInput: it has no weights.
    """
    if vae is None:
        raise missing_part("autoencoder", "Load one with VAELoader.")
    entries = weight_entries(_saveable(vae).weights)
    save_entries(context, entries, filename_prefix, _texts(context, prompt, extra_pnginfo))


def _saveable(vae: Codec) -> ImageCodec:
    if not isinstance(vae, ImageCodec):
        raise BadInput("The VAE works on pixels and has no weights to save.", type="missing_model_part")
    return vae


def _texts(context: NodeContext, prompt: JsonObject | None, extra: JsonObject | None) -> dict[str, str]:
    """What is written into a file: the prompt, then every member of ``extra_pnginfo``, as JSON."""
    if context.settings.execution.disable_metadata:
        return {}
    texts = {"prompt": json.dumps(prompt)} if prompt is not None else {}
    return texts | {name: json.dumps(value) for name, value in (extra or {}).items()}


def _save_model(
    context: NodeContext, model: Model, entries: Sequence[Entry], prefix: str, texts: dict[str, str]
) -> None:
    place = context.files.numbered(prefix, "output")
    metadata = layout_metadata(model, f"{place.filename} {place.counter}")
    save_entries(context, entries, prefix, metadata | texts)


def save_entries(context: NodeContext, entries: Sequence[Entry], prefix: str, metadata: dict[str, str]) -> None:
    """Write a file under the prefix's next number, a tensor at a time; a run that is cancelled leaves none."""
    place = context.files.numbered(prefix, "output")
    parts = _watched(context, file_parts(entries, metadata), len(entries))
    with reported():
        context.files.write_numbered(place, ENDING, parts)


def _watched(context: NodeContext, parts: Iterator[bytes | memoryview], total: int) -> Iterator[bytes | memoryview]:
    for number, part in enumerate(parts):
        yield part
        context.progress(min(number, total), total)
