"""Nodes that show pictures to an image encoder, and what conditions make of it."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.clip_vision import VisionEncoding
from comfykernel_core_nodes.diffusion.unclip import SeenPicture
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder, load_vision_encoder
from comfykernel_core_nodes.nodes.condition_values import with_appended
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice, Float, Image, Socket

FOLDER: Final = "clip_vision"
UNCLIP: Final = "unclip_conditioning"

ClipVision: TypeAlias = Annotated[VisionEncoder, Socket("CLIP_VISION")]
SeenImage: TypeAlias = Annotated[VisionEncoding, Socket("CLIP_VISION_OUTPUT")]


@core_node("CLIPVisionLoader", category="loaders", display_name="Load CLIP Vision")
def clip_vision_loader(context: NodeContext, clip_name: Annotated[str, Choice(source=FOLDER, bare=True)]) -> ClipVision:
    """Load an image encoder: CLIP vision or SigLIP.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no image encoder.
    """
    path = context.models.path(FOLDER, clip_name)
    with reported():
        return load_vision_encoder(path)


@core_node("CLIPVisionEncode", category="conditioning", display_name="CLIP Vision Encode")
def clip_vision_encode(
    clip_vision: ClipVision, image: Image, crop: Annotated[str, Choice("center", "none", bare=True)]
) -> SeenImage:
    """Show pictures to an image encoder: their middle, or squeezed as a whole."""
    with reported():
        return clip_vision.encode(image, crop=crop == "center")


@core_node("unCLIPConditioning", category="conditioning")
def unclip_conditioning(
    conditioning: Conditions,
    clip_vision_output: SeenImage,
    strength: Annotated[float, Float(default=1.0, min=-10.0, max=10.0, step=0.01)],
    noise_augmentation: Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.01)],
) -> Conditions:
    """Let a model that was trained with pictures (unCLIP) make one like this; noise loosens the likeness."""
    if strength == 0:
        return conditioning
    seen = SeenPicture(clip_vision_output.image_embeds, strength, noise_augmentation)
    return with_appended(conditioning, UNCLIP, seen)
