"""Nodes that put a person of a picture into a prompt."""

from __future__ import annotations

from typing import Annotated, Final

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.photo_maker import PhotoMaker, load_photo_maker
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import missing_part, reported
from comfykernel_core_nodes.nodes.open_sockets import OpenClip, OpenImage
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice, Socket, Text

photo_maker_node = extra_node("nodes_photomaker")

FOLDER: Final = "photomaker"


@photo_maker_node("PhotoMakerLoader", category="_for_testing/photomaker", experimental=True)
def photo_maker_loader(
    context: NodeContext,
    photomaker_model_name: Annotated[str, Choice(source=FOLDER, as_list=False, options={"multiselect": False})],
) -> Annotated[PhotoMaker, Socket("PHOTOMAKER")]:
    """Load PhotoMaker, which puts a person of a picture into a word of a prompt for SDXL.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no PhotoMaker of the first version.
    """
    path = context.models.path(FOLDER, photomaker_model_name)
    with reported():
        return load_photo_maker(path)


@photo_maker_node("PhotoMakerEncode", category="_for_testing/photomaker", experimental=True)
def photo_maker_encode(
    photomaker: Annotated[PhotoMaker, Socket("PHOTOMAKER", bare=False)],
    image: OpenImage,
    clip: OpenClip,
    text: Annotated[str, Text(default="photograph of photomaker", multiline=True, dynamic_prompts=True)],
) -> Conditions:
    """Encode a prompt in which the word before `photomaker` stands for the person in the first picture."""
    if clip is None:
        raise missing_part("text model", "Load a checkpoint that has one.")
    with reported():
        hidden, pooled = photomaker.encode_prompt(clip, text, image)
    return [Conditioning(hidden, pooled)]
