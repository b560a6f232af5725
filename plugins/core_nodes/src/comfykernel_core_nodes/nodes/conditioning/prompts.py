"""Nodes that turn texts into conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from comfykernel_core_nodes.diffusion.text_encoding import EmbeddingLookup, TextEncoder, encode_prompt
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
        return encode_prompt(present_clip(clip), text, embeddings=embedding_files(context.models))


def present_clip(clip: TextEncoder | None) -> TextEncoder:
    """The text model; raises `BadInput` when a checkpoint had none."""
    if clip is None:
        raise missing_part("text model", "Load a checkpoint that has one.")
    return clip


def embedding_files(models: ModelStore) -> EmbeddingLookup:
    """Textual inversions by their names, with or without endings; those in subfolders also by the bare name."""

    def found(name: str) -> Path | None:
        endings = ("", *sorted(models.extensions(EMBEDDINGS_FOLDER)))
        for ending in endings:
            try:
                return models.path(EMBEDDINGS_FOLDER, name + ending)
            except NotFound:
                continue
        bare = {name + ending for ending in endings}
        deeper = (each for each in models.names(EMBEDDINGS_FOLDER) if each.rpartition("/")[2] in bare)
        file = next(deeper, None)
        return None if file is None else models.path(EMBEDDINGS_FOLDER, file)

    return found


@core_node("CLIPSetLastLayer", category="conditioning", display_name="CLIP Set Last Layer")
def clip_set_last_layer(
    clip: ClipModel, stop_at_clip_layer: Annotated[int, Int(default=-1, min=-24, max=-1, step=1)]
) -> ClipModel:
    """Take the output of an earlier layer of the text model, counted from the end."""
    return present_clip(clip).with_last_layer(stop_at_clip_layer)


@core_node("ConditioningCombine", category="conditioning", display_name="Conditioning (Combine)")
def conditioning_combine(conditioning_1: Conditions, conditioning_2: Conditions) -> Conditions:
    """Let two conditions act at once; their predictions are averaged."""
    return [*conditioning_1, *conditioning_2]
