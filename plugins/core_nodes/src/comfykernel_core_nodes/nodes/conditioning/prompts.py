"""Nodes that turn texts into conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder, encode_prompt
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import missing_part, reported
from comfykernel_core_nodes.nodes.sockets import ClipModel, Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import NotFound
from comfykernel_sdk.sockets import Int, Out, Socket, Text
from comfykernel_sdk.storage import ModelStore

EMBEDDINGS_FOLDER = "embeddings"


@core_node("CLIPTextEncode", category="conditioning", display_name="CLIP Text Encode (Prompt)")
def clip_text_encode(
    context: NodeContext,
    text: Annotated[
        str, Text(multiline=True, dynamic_prompts=True, tooltip="What the picture shows; (words:1.2) get more weight.")
    ],
    clip: Annotated[TextEncoder | None, Socket("CLIP", tooltip="The text model that reads the prompt.", bare=False)],
) -> Annotated[Conditions, Out(tooltip="What steers a sampler towards the text.")]:
    """Encode a prompt with a text model, for a diffusion model to follow."""
    with reported():
        return encode_prompt(_present(clip), text, embeddings=lambda name: _embedding(context.models, name))


def _present(clip: TextEncoder | None) -> TextEncoder:
    if clip is None:
        raise missing_part("text model", "Load a checkpoint that has one.")
    return clip


def _embedding(models: ModelStore, name: str) -> Path | None:
    """The file of a textual inversion by its name, with or without its ending."""
    for suffix in ("", *sorted(models.extensions(EMBEDDINGS_FOLDER))):
        try:
            return models.path(EMBEDDINGS_FOLDER, name + suffix)
        except NotFound:
            continue
    return None


@core_node("CLIPSetLastLayer", category="conditioning", display_name="CLIP Set Last Layer")
def clip_set_last_layer(
    clip: ClipModel, stop_at_clip_layer: Annotated[int, Int(default=-1, min=-24, max=-1, step=1)]
) -> ClipModel:
    """Take the output of an earlier layer of the text model, counted from the end."""
    return _present(clip).with_last_layer(stop_at_clip_layer)


@core_node("ConditioningCombine", category="conditioning", display_name="Conditioning (Combine)")
def conditioning_combine(conditioning_1: Conditions, conditioning_2: Conditions) -> Conditions:
    """Let two conditions act at once; their predictions are averaged."""
    return [*conditioning_1, *conditioning_2]
