"""Nodes for texts in the forms that single families were trained with."""

from __future__ import annotations

import logging
from typing import Annotated, Final

from torch import Tensor

from comfykernel_core_nodes.diffusion.image_fitting import resized
from comfykernel_core_nodes.diffusion.text_encoding import encode_prompt
from comfykernel_core_nodes.nodes.conditioning.prompts import embedding_files, present_clip
from comfykernel_core_nodes.nodes.conditioning.texts_of_parts import Prompt
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.open_sockets import OpenClip, OpenConditions, OpenImage, OpenVae
from comfykernel_core_nodes.nodes.sockets import Codec, Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice, Int

logger = logging.getLogger(__name__)

cond_node = extra_node("nodes_cond")
lumina_node = extra_node("nodes_lumina2")
qwen_node = extra_node("nodes_qwen")

# The instructions that Lumina-Image 2.0 was trained with (Qin et al. 2025, arXiv:2503.21758).
LUMINA_INSTRUCTIONS: Final = {
    "superior": (
        "You are an assistant designed to generate superior images with the superior degree of image-text alignment "
        "based on textual prompts or user prompts."
    ),
    "alignment": (
        "You are an assistant designed to generate high-quality images with the highest degree of image-text "
        "alignment based on textual prompts."
    ),
}
LUMINA_SEPARATOR: Final = " <Prompt Start> "

T5_MODELS: Final = ("t5xxl", "pile_t5xl", "t5base", "mt5xl", "umt5xxl")

# Pixels to which a picture is scaled before it becomes a reference.
REFERENCE_PIXELS: Final = 1024 * 1024
RGB: Final = 3


@lumina_node("CLIPTextEncodeLumina2", category="conditioning", display_name="CLIP Text Encode for Lumina2")
def clip_text_encode_lumina2(
    context: NodeContext,
    system_prompt: Annotated[str, Choice(*LUMINA_INSTRUCTIONS, as_list=False, options={"multiselect": False})],
    user_prompt: Prompt,
    clip: OpenClip,
) -> Conditions:
    """Encode a prompt behind one of the instructions that Lumina 2 knows."""
    text = LUMINA_INSTRUCTIONS.get(system_prompt, system_prompt) + LUMINA_SEPARATOR + user_prompt
    return _encoded(context, clip, text)


@cond_node("T5TokenizerOptions", category="_for_testing/conditioning", experimental=True)
def t5_tokenizer_options(
    clip: OpenClip,
    min_padding: Annotated[int, Int(default=0, min=0, max=10000, step=1)],
    min_length: Annotated[int, Int(default=0, min=0, max=10000, step=1)],
) -> OpenClip:
    """Set to how many tokens T5 models fill up a text."""
    options = {
        f"{model}_{name}": value
        for model in T5_MODELS
        for name, value in (("min_padding", min_padding), ("min_length", min_length))
    }
    return present_clip(clip).with_options(options)


@cond_node("CLIPTextEncodeControlnet", category="_for_testing/conditioning", experimental=True)
def clip_text_encode_controlnet(
    context: NodeContext, clip: OpenClip, conditioning: OpenConditions, text: Prompt
) -> Conditions:
    """Encode a text that control networks read in place of the conditions' own."""
    (encoded,) = _encoded(context, clip, text)
    extra = {"cross_attn_controlnet": encoded.tokens, "pooled_output_controlnet": encoded.pooled}
    return [each.with_changes(extra={**each.extra, **extra}) for each in conditioning]


@qwen_node("TextEncodeQwenImageEdit", category="advanced/conditioning")
def text_encode_qwen_image_edit(
    context: NodeContext, clip: OpenClip, prompt: Prompt, vae: OpenVae = None, image: OpenImage | None = None
) -> Conditions:
    """Encode what shall be done to a picture, with the picture as a reference."""
    return _edited(context, clip, prompt, vae, [image])


@qwen_node("TextEncodeQwenImageEditPlus", category="advanced/conditioning")
def text_encode_qwen_image_edit_plus(
    context: NodeContext,
    clip: OpenClip,
    prompt: Prompt,
    vae: OpenVae = None,
    image1: OpenImage | None = None,
    image2: OpenImage | None = None,
    image3: OpenImage | None = None,
) -> Conditions:
    """Encode what shall be done to up to three pictures, with the pictures as references."""
    return _edited(context, clip, prompt, vae, [image1, image2, image3])


def _encoded(context: NodeContext, clip: OpenClip, text: str) -> Conditions:
    with reported():
        return encode_prompt(present_clip(clip), text, embeddings=embedding_files(context.models))


def _edited(
    context: NodeContext, clip: OpenClip, prompt: str, vae: Codec | None, images: list[Tensor | None]
) -> Conditions:
    """The text, and the pictures as latents that the model may look at."""
    given = [image for image in images if image is not None]
    if given:
        logger.warning("The text model does not see pictures: it reads the text alone.")
    conditions = _encoded(context, clip, prompt)
    if vae is None or not given:
        return conditions
    with reported():
        references = tuple(vae.encode(_reference(image, vae.downscale)) for image in given)
    return [each.with_changes(extra={**each.extra, "reference_latents": references}) for each in conditions]


def _reference(image: Tensor, multiple: int) -> Tensor:
    """A picture [batch, height, width, 3 or more] scaled to about a megapixel, its sides multiples of a number."""
    height, width = image.shape[1:3]
    factor = (REFERENCE_PIXELS / (height * width)) ** 0.5
    tall, wide = (max(multiple, round(side * factor / multiple) * multiple) for side in (height, width))
    return resized(image[..., :RGB].movedim(-1, 1), tall, wide, "area").movedim(1, -1)
