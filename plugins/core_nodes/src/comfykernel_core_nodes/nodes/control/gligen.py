"""Nodes that put texts at places of the picture, by GLIGEN."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.gligen import Box, GligenModel, PlacedTexts, load_gligen
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import missing_part, reported
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, ClipModel, Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Int, Socket, Text

FOLDER: Final = "gligen"
# Pixels that a latent unit is wide.
LATENT_PIXELS: Final = 8

BoxModel: TypeAlias = Annotated[GligenModel, Socket("GLIGEN")]
BoxSide: TypeAlias = Annotated[int, Int(default=64, min=8, max=MAX_SIDE, step=8)]
BoxPlace: TypeAlias = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=8)]


@core_node("GLIGENLoader", category="loaders")
def gligen_loader(context: NodeContext, gligen_name: Annotated[str, Choice(source=FOLDER, bare=True)]) -> BoxModel:
    """Load a GLIGEN model, which puts texts at boxes.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no GLIGEN model.
    """
    path = context.models.path(FOLDER, gligen_name)
    with reported():
        return load_gligen(path)


@core_node("GLIGENTextBoxApply", category="conditioning/gligen")
def gligen_text_box_apply(
    conditioning_to: Conditions,
    clip: ClipModel,
    gligen_textbox_model: BoxModel,
    text: Annotated[str, Text(multiline=True, dynamic_prompts=True)],
    width: BoxSide,
    height: BoxSide,
    x: BoxPlace,
    y: BoxPlace,
) -> Conditions:
    """Ask for a text in a box of the picture, given in pixels; several in a row are all asked for."""
    if clip is None:
        raise missing_part("text model", "Load a checkpoint that has one.")
    with reported():
        pooled = clip.encode(clip.tokenize(text), projected=False).pooled
    if pooled is None:
        raise BadInput(
            "The text model gives no vector for a whole text, which a box needs.",
            type="wrong_model",
            hint="Use the CLIP of the checkpoint that the GLIGEN model is for.",
        )
    box = Box(pooled, *(side // LATENT_PIXELS for side in (height, width, y, x)))
    return _with_box(conditioning_to, gligen_textbox_model, box)


def _with_box(conditions: Conditions, model: GligenModel, box: Box) -> list[Conditioning]:
    # Conditions that had the same boxes share the new ones, too, so that they can run in one batch.
    made: dict[tuple[int, ...], PlacedTexts] = {}
    changed: list[Conditioning] = []
    for each in conditions:
        placed = tuple(other for other in each.attachments if isinstance(other, PlacedTexts))
        rest = tuple(other for other in each.attachments if not isinstance(other, PlacedTexts))
        key = tuple(id(other) for other in placed)
        if key not in made:
            made[key] = model.placed(*(known for other in placed for known in other.boxes), box)
        changed.append(each.with_changes(attachments=(*rest, made[key])))
    return changed
