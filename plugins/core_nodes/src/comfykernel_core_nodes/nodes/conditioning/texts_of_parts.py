"""Nodes that give each text model of a family a text of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.prompts_by_part import tokens_of_parts
from comfykernel_core_nodes.diffusion.text_encoding import encode_tokens
from comfykernel_core_nodes.nodes.conditioning.prompts import embedding_files, present_clip
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.open_sockets import OpenClip, OpenConditions
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, ClipModel, Conditions
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice, Float, Int, Text

sdxl_node = extra_node("nodes_clip_sdxl")
sd3_node = extra_node("nodes_sd3")
flux_node = extra_node("nodes_flux")
hidream_node = extra_node("nodes_hidream")
hunyuan_node = extra_node("nodes_hunyuan")
pixart_node = extra_node("nodes_pixart")

Prompt: TypeAlias = Annotated[str, Text(multiline=True, dynamic_prompts=True)]
PictureSide: TypeAlias = Annotated[int, Int(default=1024, min=0, max=MAX_SIDE)]
Cut: TypeAlias = Annotated[int, Int(default=0, min=0, max=MAX_SIDE)]


@sdxl_node("CLIPTextEncodeSDXL", category="advanced/conditioning")
def clip_text_encode_sdxl(
    context: NodeContext,
    clip: OpenClip,
    width: PictureSide,
    height: PictureSide,
    crop_w: Cut,
    crop_h: Cut,
    target_width: PictureSide,
    target_height: PictureSide,
    text_g: Prompt,
    text_l: Prompt,
) -> Conditions:
    """Encode a prompt for each of SDXL's text models, with the sizes that the model was trained to hear of."""
    sizes = {
        "width": width,
        "height": height,
        "crop_w": crop_w,
        "crop_h": crop_h,
        "target_width": target_width,
        "target_height": target_height,
    }
    return _encoded(context, clip, {"g": text_g, "l": text_l}, sizes)


@sdxl_node("CLIPTextEncodeSDXLRefiner", category="advanced/conditioning")
def clip_text_encode_sdxl_refiner(
    context: NodeContext,
    ascore: Annotated[float, Float(default=6.0, min=0.0, max=1000.0, step=0.01)],
    width: PictureSide,
    height: PictureSide,
    text: Prompt,
    clip: OpenClip,
) -> Conditions:
    """Encode a prompt for the SDXL refiner, with the picture's size and the aesthetic score that it shall reach."""
    extra = {"aesthetic_score": ascore, "width": width, "height": height}
    return _encoded(context, clip, _same(clip, text), extra)


@sd3_node("CLIPTextEncodeSD3", category="advanced/conditioning")
def clip_text_encode_sd3(
    context: NodeContext,
    clip: OpenClip,
    clip_l: Prompt,
    clip_g: Prompt,
    t5xxl: Prompt,
    empty_padding: Annotated[str, Choice("none", "empty_prompt", as_list=False, options={"multiselect": False})],
) -> Conditions:
    """Encode a prompt for each of SD3's text models; an empty one is left out, or encoded as the empty prompt."""
    texts = {"g": clip_g, "l": clip_l, "t5xxl": t5xxl}
    return _encoded(context, clip, texts, {}, skip_empty=empty_padding == "none")


@flux_node("CLIPTextEncodeFlux", category="advanced/conditioning/flux")
def clip_text_encode_flux(
    context: NodeContext,
    clip: OpenClip,
    clip_l: Prompt,
    t5xxl: Prompt,
    guidance: Annotated[float, Float(default=3.5, min=0.0, max=100.0, step=0.1)],
) -> Conditions:
    """Encode a prompt for each of Flux's text models, with the guidance that the model was distilled with."""
    return _encoded(context, clip, {"l": clip_l, "t5xxl": t5xxl}, {"guidance": guidance})


@flux_node("FluxGuidance", category="advanced/conditioning/flux")
def flux_guidance(
    conditioning: OpenConditions, guidance: Annotated[float, Float(default=3.5, min=0.0, max=100.0, step=0.1)]
) -> Conditions:
    """Set how strictly a model with distilled guidance follows a text."""
    return [each.with_changes(extra={**each.extra, "guidance": guidance}) for each in conditioning]


@flux_node("FluxDisableGuidance", category="advanced/conditioning/flux")
def flux_disable_guidance(conditioning: OpenConditions) -> Conditions:
    """Tell a model with distilled guidance nothing of guidance."""
    return [each.with_changes(extra={**each.extra, "guidance": None}) for each in conditioning]


@hidream_node("CLIPTextEncodeHiDream", category="advanced/conditioning")
def clip_text_encode_hidream(
    context: NodeContext, clip: OpenClip, clip_l: Prompt, clip_g: Prompt, t5xxl: Prompt, llama: Prompt
) -> Conditions:
    """Encode a prompt for each of HiDream's four text models."""
    return _encoded(context, clip, {"g": clip_g, "l": clip_l, "t5xxl": t5xxl, "llama": llama}, {})


@hunyuan_node("CLIPTextEncodeHunyuanDiT", category="advanced/conditioning")
def clip_text_encode_hunyuan_dit(context: NodeContext, clip: ClipModel, bert: Prompt, mt5xl: Prompt) -> Conditions:
    """Encode a prompt for each of Hunyuan-DiT's text models."""
    return _encoded(context, clip, {"hydit_clip": bert, "mt5xl": mt5xl}, {})


@pixart_node("CLIPTextEncodePixArtAlpha", category="advanced/conditioning")
def clip_text_encode_pixart_alpha(
    context: NodeContext, width: PictureSide, height: PictureSide, text: Prompt, clip: OpenClip
) -> Conditions:
    """Encode a prompt for PixArt alpha, with the picture's size that the model was trained to hear of."""
    return _encoded(context, clip, _same(clip, text), {"width": width, "height": height})


def _same(clip: OpenClip, text: str) -> dict[str, str]:
    return dict.fromkeys(present_clip(clip).parts, text)


def _encoded(
    context: NodeContext,
    clip: OpenClip,
    texts: dict[str, str],
    extra: Mapping[str, object],
    *,
    skip_empty: bool = False,
) -> Conditions:
    encoder = present_clip(clip)
    with reported():
        tokens = tokens_of_parts(encoder, texts, embeddings=embedding_files(context.models), skip_empty=skip_empty)
        return encode_tokens(encoder, tokens, extra=extra)
